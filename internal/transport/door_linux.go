//go:build linux && !portable

package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// door is the Door of Linux.
type door struct {
	address net.Addr
	file    *os.File // the listening socket
	raw     syscall.RawConn
	server  *Server
	options DoorOptions
	log     *slog.Logger
	within  ticks
	passed  chan *passedOn // to Accept
	deaf    atomic.Bool
	closed  chan struct{}
	swept   chan struct{} // closed when nobody sweeps any more

	mu       sync.Mutex // guards the following
	visitors map[*visitor]struct{}
	shut     bool
}

// OpenDoor makes a door of a TCP listener, which it closes: the door goes on
// with a duplicate of its descriptor. It is nil, and the listener as it was,
// where there is no event loop.
func (s *Server) OpenDoor(listener net.Listener, o DoorOptions) (Door, error) {
	if len(s.pollers) == 0 {
		return nil, nil
	}
	sc, ok := listener.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("opening the door: %T has no descriptor", listener)
	}
	fd, err := duplicate(sc)
	if err != nil {
		return nil, fmt.Errorf("opening the door: %w", err)
	}
	file := os.NewFile(uintptr(fd), "listener") // in the runtime's poller, as it does not block
	raw, err := file.SyscallConn()              // a listener's own can't wait
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the door: %w", err), file.Close())
	}
	_ = listener.Close()
	d := &door{
		address: listener.Addr(), file: file, raw: raw, server: s, options: o, log: s.options.Log, within: s.ticks(o.HeadWithin) + 1,
		passed: make(chan *passedOn), closed: make(chan struct{}), swept: make(chan struct{}),
		visitors: map[*visitor]struct{}{},
	}
	go d.sweep()
	return d, nil
}

// AcceptSocket implements Door. It tries first and waits, in the runtime's
// poller, only where nobody has come.
func (d *door) AcceptSocket() (io.Closer, error) {
	var fd int
	var from unix.Sockaddr
	var failed error
	err := d.raw.Read(func(listener uintptr) (done bool) {
		for {
			fd, from, failed = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			switch failed {
			case unix.EINTR, unix.ECONNABORTED:
			default:
				return failed != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil && d.deaf.Load(): // the runtime's poller has an error of its own for it
		return nil, net.ErrClosed
	case err != nil:
		return nil, err
	case failed != nil:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: d.Addr(), Err: os.NewSyscallError("accept4", failed)}
	}
	// As net does. It fails for a client that has gone already.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	loop := d.server.nextPoller().(*loop)
	return &visitor{door: d, loop: loop, fd: int32(fd), from: addrPort(from)}, nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 {
			a = a.WithZone(zoneName(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zoneName is the interface of a link-local address.
func zoneName(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

// Welcome implements Door.
func (d *door) Welcome(socket io.Closer) {
	v := socket.(*visitor)
	v.until = d.server.wheel.time() + d.within
	d.mu.Lock()
	shut := d.shut
	if !shut {
		d.visitors[v] = struct{}{}
	}
	d.mu.Unlock()
	if shut {
		_ = v.Close()
		d.options.Left()
		return
	}
	if err := v.loop.await(v); err != nil {
		d.log.Error("a socket can't be watched", "err", err)
		v.end()
	}
}

// left forgets a visitor.
func (d *door) left(v *visitor) {
	d.options.Left()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.visitors, v)
}

// all are the visitors that have not left.
func (d *door) all() (all []*visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for v := range d.visitors {
		all = append(all, v)
	}
	return all
}

// sweep ends visitors whose heads have not come in time.
func (d *door) sweep() {
	defer close(d.swept)
	ticker := time.NewTicker(d.server.options.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-d.closed:
			return
		case <-ticker.C:
		}
		now := d.server.wheel.time()
		for _, v := range d.all() {
			if now >= v.until {
				v.giveUp()
			}
		}
	}
}

// Accept implements net.Listener, for the HTTP server.
func (d *door) Accept() (net.Conn, error) {
	select {
	case nc := <-d.passed:
		d.left(nc.visitor)
		return nc, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return d.address }

// Deafen implements Door.
func (d *door) Deafen() {
	d.deaf.Store(true)
	_ = d.file.Close() // a second time it is an error of no interest
}

// Close implements net.Listener: it closes the listening socket, ends who is at the
// door, and waits for them to be gone. It may be called twice.
func (d *door) Close() error {
	d.Deafen()
	d.mu.Lock()
	first := !d.shut
	d.shut = true
	d.mu.Unlock()
	if first {
		close(d.closed)
	}
	<-d.swept
	for _, v := range d.all() {
		v.giveUp()
		v.tellGone()
	}
	const patience = 5 * time.Second // for handlers whose client is gone
	for deadline := time.Now().Add(patience); len(d.all()) > 0 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// pass hands a socket to the HTTP server, with what was read from it.
func (d *door) pass(v *visitor, early []byte) {
	nc, err := netConn(int(v.fd))
	if err != nil {
		d.log.Debug("a socket can't be handed to the HTTP server", "remote", v.from.String(), "err", err)
		d.left(v)
		return
	}
	select {
	case d.passed <- &passedOn{Conn: nc, visitor: v, early: early}:
	case <-d.closed:
		_ = nc.Close()
		d.left(v)
	}
}

// passedOn is a socket of the HTTP server's that was at the door before.
type passedOn struct {
	net.Conn
	visitor *visitor
	early   []byte // read at the door; comes before what the socket has
}

func (nc *passedOn) Read(b []byte) (int, error) {
	if len(nc.early) == 0 {
		return nc.Conn.Read(b)
	}
	n := copy(b, nc.early)
	nc.early = nc.early[n:]
	return n, nil
}

// SyscallConn implements syscall.Conn, for adopt.
func (nc *passedOn) SyscallConn() (syscall.RawConn, error) {
	return nc.Conn.(syscall.Conn).SyscallConn()
}

// takeEarly returns what is left to read of the door's.
func (nc *passedOn) takeEarly() (early []byte) {
	early, nc.early = nc.early, nil
	return early
}
