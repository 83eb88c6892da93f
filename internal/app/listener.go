package app

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"belfry/internal/reason"
)

// spare is how many sockets there may be that have not become a connection:
// those that have not asked yet, and those that ask for something else.
const spare = 256

const warnEvery = 10 * time.Second

// An acceptor bounds how many sockets clients can hold, and keeps accepting
// when descriptors run out: a client that can't be served is told so by a
// closed socket, at once, and not left in the backlog.
type acceptor struct {
	net.Listener
	// full tells whether, with this many sockets that are no connection, there
	// are as many as there may be.
	full    func(sockets int) bool
	refused func()
	log     *slog.Logger

	sockets atomic.Int64 // accepted, and neither closed nor upgraded

	// The following only Accept touches.
	reserve *os.File // a descriptor to give up when there is no other
	warned  time.Time
}

// Accept implements net.Listener. One goroutine calls it.
func (l *acceptor) Accept() (net.Conn, error) {
	for {
		l.hold()
		last := false // c has taken the last descriptor
		c, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			c, last, err = l.scrape(err)
		}
		switch {
		case err != nil: // after EMFILE net/http waits a moment and comes again
			return nil, err
		case last || l.full(int(l.sockets.Load())):
			_ = c.Close()
			l.refused()
		default:
			return c, nil
		}
	}
}

// hold sees to it that there is a descriptor in reserve, where there can be.
func (l *acceptor) hold() {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
	}
}

// scrape accepts with the descriptor that was in reserve. Where there is no
// other then, the socket is the last and only good for being closed.
func (l *acceptor) scrape(why error) (c net.Conn, last bool, err error) {
	if l.reserve == nil {
		return nil, false, why
	}
	if now := time.Now(); now.Sub(l.warned) > warnEvery {
		l.warned = now
		l.log.Warn("there are no descriptors left: clients are turned away", "reason", reason.Limit.String(), "err", why)
	}
	_ = l.reserve.Close()
	l.reserve = nil
	c, err = l.Listener.Accept()
	l.hold()
	return c, l.reserve == nil, err
}

// state is told by the HTTP server what becomes of a socket.
func (l *acceptor) state(_ net.Conn, state http.ConnState) {
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
	open := 0
	if r := a.rooms.Load(); r != nil {
		for _, n := range r.transport.Stats().Connections {
			open += n
		}
	}
	return open+sockets >= a.limit()+spare
}
