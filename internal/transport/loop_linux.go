//go:build linux && !portable

package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"belfry/internal/reason"
)

// socketState is what the event loop keeps in a Conn.
type socketState struct {
	fd       int32
	slot     int32 // in loop.conns; guarded by loop.mu, -1 until watched
	finished bool  // the loop's: fd is closed
}

// loop reads every socket that it has adopted, on one goroutine.
//
// It waits through the Go runtime's own poller, in which its epoll descriptor
// is registered: so a waiting loop holds no thread, and is woken as fast as any
// goroutine that waits for a socket.
type loop struct {
	epoll *os.File // of epfd; its Fd method would make that blocking
	raw   syscall.RawConn
	epfd  int
	wake  int // eventfd
	log   *slog.Logger
	buf   []byte // what was read last; the loop's goroutine only
	done  chan struct{}

	mu    sync.Mutex // guards the following
	conns []*Conn    // by slot, which is what epoll reports
	free  []int32    // slots
	ended []*Conn    // to finish
	stop  bool
}

const (
	readBuffer = 64 << 10
	maxEvents  = 256
	wakeSlot   = -1
)

func startPollers(n int, log *slog.Logger) (pollers []poller, err error) {
	orElse(&n, runtime.GOMAXPROCS(0))
	for range n {
		l, err := startLoop(log)
		if err != nil {
			for _, p := range pollers {
				p.close()
			}
			return nil, fmt.Errorf("starting event loop %d of %d: %w", len(pollers)+1, n, err)
		}
		pollers = append(pollers, l)
	}
	return pollers, nil
}

func startLoop(log *slog.Logger) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Non-blocking, or os.NewFile does not give it to the runtime's poller.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &loop{epoll: os.NewFile(uintptr(epfd), "epoll"), epfd: epfd, log: log, buf: make([]byte, readBuffer), done: make(chan struct{})}
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		l.epoll.Close()
		return nil, err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		l.epoll.Close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := l.control(unix.EPOLL_CTL_ADD, l.wake, wakeSlot, unix.EPOLLIN); err != nil {
		l.epoll.Close()
		unix.Close(l.wake)
		return nil, err
	}
	go l.run()
	return l, nil
}

// run is the loop. Level-triggered: what is not read now is reported again.
func (l *loop) run() {
	defer close(l.done)
	events := make([]unix.EpollEvent, maxEvents)
	conns := make([]*Conn, maxEvents)
	var n int
	var failed error
	wait := func(uintptr) (done bool) {
		n, failed = unix.EpollWait(l.epfd, events, 0)
		if failed == unix.EINTR {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	}
	for {
		if err := errors.Join(l.raw.Read(wait), failed); err != nil {
			l.log.Error("an event loop ended because its epoll descriptor failed", "err", err)
			return
		}
		l.drainWake(events[:n])
		l.mu.Lock()
		for i, e := range events[:n] {
			conns[i] = nil
			if e.Fd != wakeSlot {
				conns[i] = l.conns[e.Fd]
			}
		}
		ended, stop := l.ended, l.stop
		l.ended = nil
		l.mu.Unlock()
		for i, c := range conns[:n] {
			if c != nil {
				l.ready(c, events[i].Events)
			}
		}
		for _, c := range ended {
			l.finish(c)
		}
		if stop {
			return
		}
	}
}

// ready handles one event of one connection.
func (l *loop) ready(c *Conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		l.arm(unix.EPOLL_CTL_MOD, c, 0)
		c.pump()
	}
	if events&^uint32(unix.EPOLLOUT) == 0 {
		return
	}
	n, err := unix.Read(int(c.socket.fd), l.buf)
	switch {
	case n > 0:
		c.heard()
		c.guard(func() { c.feed(l.buf[:n]) })
	case err == unix.EAGAIN || err == unix.EINTR:
	default: // the end of the stream, or it broke
		c.end(reason.ClientGone)
	}
}

// finish ends a connection for good, unless a writer is still at it.
func (l *loop) finish(c *Conn) {
	if c.socket.finished || !c.finish() {
		return
	}
	c.socket.finished = true
	l.mu.Lock()
	if c.socket.slot >= 0 {
		l.conns[c.socket.slot] = nil
		l.free = append(l.free, c.socket.slot)
	}
	l.mu.Unlock()
	unix.Close(int(c.socket.fd)) // takes it out of epoll too
}

// adopt duplicates the descriptor and closes the original, so that the
// runtime's poller and net.Conn's memory are out of the way.
func (l *loop) adopt(c *Conn, nc net.Conn) (driver, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(original uintptr) {
		// Not File(): that would make the shared description blocking.
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("duplicating a descriptor: %w", err)
	}
	nc.Close()
	c.socket = socketState{fd: int32(fd), slot: -1}
	return l, nil
}

func (l *loop) watch(c *Conn) {
	l.mu.Lock()
	slot := int32(len(l.conns))
	if n := len(l.free); n > 0 {
		slot, l.free = l.free[n-1], l.free[:n-1]
		l.conns[slot] = c
	} else {
		l.conns = append(l.conns, c)
	}
	c.socket.slot = slot
	l.mu.Unlock()
	l.arm(unix.EPOLL_CTL_ADD, c, 0)
	c.begin()
	c.pumpBusy()
}

func (l *loop) control(op, fd int, slot int32, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: slot}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epfd, op, fd, &e))
}

// arm says what to report of a connection: what it sends, and extra, which is
// EPOLLOUT or nothing. Only the loop and the one who is writing may call it: the
// descriptor is not closed meanwhile.
func (l *loop) arm(op int, c *Conn, extra uint32) {
	l.mu.Lock()
	slot := c.socket.slot
	l.mu.Unlock()
	if err := l.control(op, int(c.socket.fd), slot, unix.EPOLLIN|unix.EPOLLRDHUP|extra); err != nil {
		l.log.Error("a socket can't be watched", "conn", c.Name(), "err", err)
		c.end(reason.Internal)
	}
}

func (l *loop) blocks() bool { return false }

func (l *loop) write(c *Conn, b []byte) (int, error) {
	for {
		n, err := unix.Write(int(c.socket.fd), b)
		if err != unix.EINTR {
			return taken(n, err)
		}
	}
}

func (l *loop) writeAll(c *Conn, bufs [][]byte) (int, error) {
	for {
		n, err := unix.Writev(int(c.socket.fd), bufs)
		if err != unix.EINTR {
			return taken(n, err)
		}
	}
}

// taken turns a full socket into the 0 bytes that it took.
func taken(n int, err error) (int, error) {
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

func (l *loop) resume(c *Conn) { l.arm(unix.EPOLL_CTL_MOD, c, unix.EPOLLOUT) }

// acknowledged is how many bytes the other host's TCP has taken.
func (l *loop) acknowledged(c *Conn) uint64 {
	info, err := unix.GetsockoptTCPInfo(int(c.socket.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Bytes_acked
}

func (l *loop) unsent(c *Conn) (int64, bool) {
	n, err := unix.IoctlGetInt(int(c.socket.fd), unix.SIOCOUTQ)
	return int64(n), err == nil
}

func (l *loop) release(c *Conn) {
	l.mu.Lock()
	l.ended = append(l.ended, c)
	first := len(l.ended) == 1
	l.mu.Unlock()
	if first {
		l.rouse()
	}
}

func (l *loop) rouse() {
	one := uint64(1)
	unix.Write(l.wake, (*[8]byte)(unsafe.Pointer(&one))[:]) // fails only when it is awake
}

// drainWake comes before what it woke the loop for is taken: a release that
// comes between the two wakes the loop again.
func (l *loop) drainWake(events []unix.EpollEvent) {
	for _, e := range events {
		if e.Fd == wakeSlot {
			var count [8]byte
			unix.Read(l.wake, count[:])
		}
	}
}

func (l *loop) close() {
	l.mu.Lock()
	l.stop = true
	l.mu.Unlock()
	l.rouse()
	<-l.done
	l.epoll.Close()
	unix.Close(l.wake)
}
