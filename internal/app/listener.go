package app

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// spare is how many sockets there may be that have not become a connection:
// those that have not asked yet, and those that ask for something else.
const spare = 256

const warnEvery = 10 * time.Second

// How long an acceptor pauses where no socket can be accepted: first, and at most.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// An acceptor bounds how many sockets clients can hold, and keeps accepting
// when descriptors run out: a client that can't be served is told so by a
// closed socket, at once, and not left in the backlog.
//
// S is a net.Conn, or what a transport.Door accepts.
type acceptor[S io.Closer] struct {
	accept func() (S, error)
	// full tells whether, with this many sockets that are no connection, there
	// are as many as there may be.
	full    func(sockets int) bool
	refused func()
	log     *slog.Logger

	sockets atomic.Int64 // accepted, and neither closed nor upgraded

	// The following only next touches.
	reserve *os.File // a descriptor to give up when there is no other
	warned  time.Time
}

// bound sets what the acceptor of a gateway's clients goes by.
func (l *acceptor[S]) bound(a *App, accept func() (S, error)) {
	l.accept, l.full, l.refused, l.log = accept, a.full, a.refuseSocket, a.log
}

// next is the next socket to serve, or net.ErrClosed. Every other error may pass,
// whatever it says: the kernel is short of memory, a network is down, a firewall
// objects. A port that gave up over one would be deaf until a restart. One
// goroutine calls it.
func (l *acceptor[S]) next() (s S, err error) {
	for pause := time.Duration(0); ; {
		l.hold()
		last := false // s has taken the last descriptor
		s, err = l.accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			s, last, err = l.scrape(err)
		}
		switch {
		case errors.Is(err, net.ErrClosed):
			return s, err
		case err != nil:
			l.warn("no client can be accepted now, trying on", "err", err)
			pause = min(max(2*pause, minPause), maxPause)
			time.Sleep(pause)
		case last || l.full(int(l.sockets.Load())):
			_ = s.Close()
			l.refused()
		default:
			return s, nil
		}
	}
}

// warn logs, though not each time.
func (l *acceptor[S]) warn(text string, args ...any) {
	if now := time.Now(); now.Sub(l.warned) > warnEvery {
		l.warned = now
		l.log.Warn(text, args...)
	}
}

// hold sees to it that there is a descriptor in reserve, where there can be.
func (l *acceptor[S]) hold() {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
	}
}

// scrape accepts with the descriptor that was in reserve. Where there is no
// other then, the socket is the last and only good for being closed.
func (l *acceptor[S]) scrape(why error) (s S, last bool, err error) {
	if l.reserve == nil {
		return s, false, why
	}
	l.warn("there are no descriptors left: clients are turned away", "reason", reason.Limit.String(), "err", why)
	_ = l.reserve.Close()
	l.reserve = nil
	s, err = l.accept()
	l.hold()
	return s, l.reserve == nil, err
}

// state is told by the HTTP server what becomes of a socket.
func (l *acceptor[S]) state(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.sockets.Add(1)
	case http.StateHijacked, http.StateClosed:
		l.sockets.Add(-1)
	}
}

// full tells whether there are too many sockets. Up to spare of them there is
// always room, as the transport keeps to limits.connections by itself.
func (a *App) full(sockets int) bool {
	if sockets < spare {
		return false
	}
	return a.connected()+sockets >= a.limit()+spare
}

// bounded is a listener with an acceptor, for net/http.
type bounded struct {
	net.Listener
	acceptor[net.Conn]
}

// keepOn has a listener that no clients come to outlive errors too.
func keepOn(listener net.Listener, log *slog.Logger) net.Listener {
	return &bounded{listener, acceptor[net.Conn]{accept: listener.Accept, full: func(int) bool { return false }, refused: func() {}, log: log}}
}

// Accept implements net.Listener.
func (l *bounded) Accept() (net.Conn, error) { return l.next() }

// boundedDoor has the clients of an acceptor welcomed at a door, and is what the
// door leaves to net/http.
type boundedDoor struct {
	transport.Door
	acceptor[io.Closer]
}

// welcome lets clients in until the listener is closed.
func (d *boundedDoor) welcome() {
	for {
		socket, err := d.next()
		if err != nil {
			return
		}
		d.sockets.Add(1)
		d.Welcome(socket)
	}
}
