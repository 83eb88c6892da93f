//go:build linux && !portable

package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// visitor is a socket at a door. An event loop reads it, and closes it unless it
// becomes a connection or the HTTP server's.
type visitor struct {
	door  *door
	loop  *loop
	from  netip.AddrPort
	until ticks // the head must have come by then
	fd    int32
	slot  int32  // in loop.sockets
	head  []byte // the loop's: what has come, where that is not all

	mu    sync.Mutex // guards the following; held over epoll_ctl, never over a call that waits
	stage stage
	muted bool               // epoll tells no more of what the client sends
	leave context.CancelFunc // tells a handler that waits that its client has gone; may be nil
}

// A stage is how far a visitor is.
type stage uint8

const (
	arriving stage = iota // its head has not come
	asking                // a handler has it
	vanished              // so it has, and the client has gone; epoll does not have it any more
	gone                  // it is being closed, or somebody else's
)

// Close closes a socket that was not welcomed.
func (v *visitor) Close() error { return unix.Close(int(v.fd)) }

// advance goes to a stage if the visitor is in another, from.
func (v *visitor) advance(from, to stage) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stage != from {
		return false
	}
	v.stage = to
	return true
}

// onEvent implements occupant.
func (v *visitor) onEvent(l *loop, events uint32) {
	v.mu.Lock()
	stage := v.stage
	if stage == asking {
		v.heed(l, events)
	}
	v.mu.Unlock()
	if stage != arriving {
		return
	}
	n, err := unix.Read(int(v.fd), l.buf)
	switch {
	case n > 0:
		v.hear(l, l.buf[:n])
	case err == unix.EAGAIN || err == unix.EINTR:
	case err == nil && len(v.head) > 0: // half a request, which the HTTP server has an answer for
		v.passOn(l, v.head)
	default:
		v.giveUp()
	}
}

// heed looks after a visitor while a handler has it: one that goes is the
// handler's to know, and what one sends can wait. mu is held.
func (v *visitor) heed(l *loop, events uint32) {
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		v.muted = true
		_ = l.control(unix.EPOLL_CTL_MOD, int(v.fd), v.slot, unix.EPOLLRDHUP)
		return
	}
	v.stage = vanished
	_ = l.control(unix.EPOLL_CTL_DEL, int(v.fd), v.slot, 0) // it would be reported for ever
	if v.leave != nil {
		v.leave()
	}
}

// hear takes what came, until the head is there or can't be one to answer here.
func (v *visitor) hear(l *loop, b []byte) {
	seen := len(v.head)
	if seen > 0 {
		v.head = append(v.head, b...)
		b = v.head
	}
	end := headEnd(b, seen)
	if end == 0 && len(b) < v.door.options.MaxHead && startsGet(b) {
		if seen == 0 {
			v.head = append(v.head, b...)
		}
		return
	}
	if 0 < end && end <= v.door.options.MaxHead {
		if r := l.heads.read(b[:end]); r != nil {
			if h, waits := v.door.options.Route(r); h != nil {
				v.ask(h, waits, r, b[end:])
				return
			}
		}
	}
	v.passOn(l, b)
}

// ask has the request answered, by this goroutine or by one that may wait.
func (v *visitor) ask(h http.HandlerFunc, waits bool, r *http.Request, early []byte) {
	r.RemoteAddr = v.from.String()
	w := &answer{visitor: v, early: early}
	if !waits {
		if v.advance(arriving, asking) {
			w.run(h, r)
		}
		return
	}
	ctx, leave := context.WithCancel(context.Background())
	v.head, v.leave, w.early = nil, leave, nil // who waits is no WebSocket, and early is in the loop's buffer
	if !v.advance(arriving, asking) {
		leave()
		return
	}
	go func() {
		defer leave()
		w.run(h, r.WithContext(ctx))
	}()
}

// passOn gives the socket to the HTTP server.
func (v *visitor) passOn(l *loop, b []byte) {
	if v.advance(arriving, gone) {
		early := bytes.Clone(b)
		v.head = nil
		// net's copy of the descriptor shares what epoll watches.
		_ = l.control(unix.EPOLL_CTL_DEL, int(v.fd), v.slot, 0)
		l.vacate(v.slot)
		go v.door.pass(v, early)
	}
}

// netConn makes a net.Conn of a socket, as net's listener would have. The
// descriptor is closed, also where it fails: net has a duplicate.
func netConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()
	nc, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("duplicating a descriptor: %w", err)
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(false)
	}
	return nc, nil
}

// upgrade makes c the socket's owner.
func (v *visitor) upgrade(c *Conn, head []byte) error {
	n, err := v.loop.writeTo(int(v.fd), head)
	if err == nil && n < len(head) {
		err = errors.New("the socket takes nothing")
	}
	v.mu.Lock()
	if v.stage != asking {
		err = errors.New("the client has gone")
	}
	if err == nil {
		v.stage = gone
		if v.muted {
			_ = v.loop.control(unix.EPOLL_CTL_MOD, int(v.fd), v.slot, readable)
		}
	}
	v.mu.Unlock()
	if err != nil {
		v.end()
		return fmt.Errorf("answering the handshake: %w", err)
	}
	c.driver, c.socket = v.loop, socketState{fd: v.fd, slot: v.slot}
	v.door.left(v)
	return nil
}

// giveUp ends a visitor whose head has not come.
func (v *visitor) giveUp() {
	if v.advance(arriving, gone) {
		v.loop.discharge(v)
	}
}

// tellGone has a handler that waits stop waiting.
func (v *visitor) tellGone() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stage == asking && v.leave != nil {
		v.leave()
	}
}

// end closes the socket that a handler had.
func (v *visitor) end() {
	v.mu.Lock()
	v.stage = gone
	v.mu.Unlock()
	v.loop.discharge(v)
}

// onEnd implements occupant.
func (v *visitor) onEnd(l *loop) {
	l.vacate(v.slot)
	_ = v.Close() // takes it out of epoll too
	v.door.left(v)
}
