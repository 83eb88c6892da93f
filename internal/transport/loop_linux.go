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
	slot     int32 // in loop.sockets; guarded by loop.mu, -1 until it has one
	finished bool  // the loop's: fd is closed
}

// occupant is what a loop has in a slot: a Conn, or a visitor, who may become one.
// Both methods are called on the loop's goroutine.
type occupant interface {
	// onEvent handles what epoll reports.
	onEvent(l *loop, events uint32)
	// onEnd comes after release. It closes the socket.
	onEnd(l *loop)
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
	wake  int // eventfd; -1 after close, which mu guards
	log   *slog.Logger
	buf   []byte // what was read last; the loop's goroutine only
	heads *heads // so is this
	done  chan struct{}

	mu      sync.Mutex // guards the following
	sockets []occupant // by slot, which is what epoll reports
	free    []int32    // slots
	ended   []occupant // to close
	stop    bool
}

const (
	readBuffer = 64 << 10
	maxEvents  = 256
	wakeSlot   = -1
	readable   = unix.EPOLLIN | unix.EPOLLRDHUP
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
	l := &loop{epoll: os.NewFile(uintptr(epfd), "epoll"), epfd: epfd, log: log, buf: make([]byte, readBuffer), heads: newHeads(), done: make(chan struct{})}
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
	sockets := make([]occupant, maxEvents)
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
			sockets[i] = nil
			if e.Fd != wakeSlot {
				sockets[i] = l.sockets[e.Fd]
			}
		}
		ended, stop := l.ended, l.stop
		l.ended = nil
		l.mu.Unlock()
		for i, s := range sockets[:n] {
			if s != nil {
				s.onEvent(l, events[i].Events)
			}
		}
		for _, s := range ended {
			s.onEnd(l)
		}
		if stop {
			return
		}
	}
}

// onEvent implements occupant.
func (c *Conn) onEvent(l *loop, events uint32) {
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

// onEnd implements occupant: it ends a connection for good, unless a writer is
// still at it, who then has it called again.
func (c *Conn) onEnd(l *loop) {
	if c.socket.finished || !c.finish() {
		return
	}
	c.socket.finished = true
	if c.socket.slot >= 0 {
		l.vacate(c.socket.slot)
	}
	unix.Close(int(c.socket.fd)) // takes it out of epoll too
}

// adopt duplicates the descriptor and closes the original, so that the
// runtime's poller and net.Conn's memory are out of the way.
func (l *loop) adopt(c *Conn, nc net.Conn) (driver, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	fd, err := duplicate(sc)
	if err != nil {
		return nil, err
	}
	nc.Close()
	c.socket = socketState{fd: int32(fd), slot: -1}
	return l, nil
}

// duplicate is a second descriptor of a socket.
func duplicate(sc syscall.Conn) (fd int, err error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(original uintptr) {
		// Not File(): that would make the shared description blocking.
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return -1, fmt.Errorf("duplicating a descriptor: %w", err)
	}
	return fd, nil
}

// watch comes after adopt, or after a visitor's upgrade, whose slot c has then.
func (l *loop) watch(c *Conn) {
	l.mu.Lock()
	visited := c.socket.slot >= 0
	if visited {
		l.sockets[c.socket.slot] = c
	} else {
		c.socket.slot = l.place(c)
	}
	l.mu.Unlock()
	if !visited {
		l.arm(unix.EPOLL_CTL_ADD, c, 0)
	}
	c.begin()
	c.pumpBusy()
}

// await begins to wait for what a visitor asks.
func (l *loop) await(v *visitor) error {
	l.mu.Lock()
	v.slot = l.place(v)
	l.mu.Unlock()
	return l.control(unix.EPOLL_CTL_ADD, int(v.fd), v.slot, readable)
}

// place gives s a slot. mu is held.
func (l *loop) place(s occupant) (slot int32) {
	if n := len(l.free); n > 0 {
		slot, l.free = l.free[n-1], l.free[:n-1]
		l.sockets[slot] = s
		return slot
	}
	l.sockets = append(l.sockets, s)
	return int32(len(l.sockets) - 1)
}

// vacate gives a slot back. epoll must not report it any more before it is given
// to another: who calls it is on the loop's goroutine, or has taken the socket
// out of epoll.
func (l *loop) vacate(slot int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets[slot] = nil
	l.free = append(l.free, slot)
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
	if err := l.control(op, int(c.socket.fd), slot, readable|extra); err != nil {
		l.log.Error("a socket can't be watched", "conn", c.Name(), "err", err)
		c.end(reason.Internal)
	}
}

func (l *loop) blocks() bool { return false }

func (l *loop) write(c *Conn, b []byte) (int, error) { return l.writeTo(int(c.socket.fd), b) }

func (l *loop) writeTo(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Write(fd, b)
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

func (l *loop) acknowledged(c *Conn) uint32 {
	count, _ := acknowledgedBy(int(c.socket.fd))
	return count
}

func (l *loop) unsent(c *Conn) (int64, bool) { return unsentTo(int(c.socket.fd)) }

func (l *loop) release(c *Conn) { l.discharge(c) }

// discharge has onEnd called soon.
func (l *loop) discharge(s occupant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, s)
	if len(l.ended) == 1 {
		l.rouse()
	}
}

// rouse is called with mu held: after close the descriptor is another's.
func (l *loop) rouse() {
	if l.wake < 0 {
		return
	}
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
	l.rouse()
	l.mu.Unlock()
	<-l.done
	l.epoll.Close()
	l.mu.Lock()
	unix.Close(l.wake)
	l.wake = -1
	l.mu.Unlock()
}
