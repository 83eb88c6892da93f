package receive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"belfry/internal/load/payload"
	"belfry/internal/load/raw"
)

const (
	readBuffer   = 256 << 10
	largest      = 64 << 20 // a message that has not come whole by then won't
	maxEvents    = 512
	wakeSlot     = -1
	timerSlot    = -2
	lookEvery    = time.Second
	openWithin   = 30 * time.Second
	spareDescs   = 64 // descriptors that are no connection
	perSource    = 200
	sourcesAByte = 250
)

// A loop is a worker's. It waits through Go's own poller, in which its epoll
// descriptor is: a goroutine that waits in a system call keeps the runtime's
// monitor awake.
type loop struct {
	epoll      *os.File // of epfd
	raw        syscall.RawConn
	epfd, wake int
	timer      int   // a timerfd, for what is due without any socket
	alarm      int64 // ns, when it is due
	buf        []byte
	conns      []*conn // by slot
	groups     []*group
	commands   chan Command // nil at the end
	out        *json.Encoder
	clock      payload.Clock

	told   []Progress // what the coordinator knows
	tellAt int64      // ns, not before
	every  time.Duration
	lookAt int64
}

// Serve is a worker: it does what the commands in want until they end.
func Serve(in io.Reader, out io.Writer) error {
	l, err := newLoop(out)
	if err != nil {
		return err
	}
	defer l.close()
	go l.listen(in)
	if err := l.run(); err != nil {
		_ = l.out.Encode(Event{Failed: err.Error()})
		return err
	}
	return nil
}

func newLoop(out io.Writer) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll descriptor: %w", err)
	}
	_ = unix.SetNonblock(epfd, true) // or Go's poller does not take it
	l := &loop{epoll: os.NewFile(uintptr(epfd), "epoll"), epfd: epfd, wake: -1, timer: -1, buf: make([]byte, readBuffer),
		commands: make(chan Command, 64), out: json.NewEncoder(out), clock: payload.NewClock()}
	if err := l.prepare(); err != nil {
		l.close()
		return nil, fmt.Errorf("prepare a receiver: %w", err)
	}
	return l, nil
}

func (l *loop) prepare() (err error) {
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		return err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return err
	}
	return errors.Join(l.watch(unix.EPOLL_CTL_ADD, l.wake, wakeSlot, unix.EPOLLIN), l.watch(unix.EPOLL_CTL_ADD, l.timer, timerSlot, unix.EPOLLIN))
}

// listen reads commands on a goroutine of its own. Nobody ends it: it ends with
// its input, as the loop does.
func (l *loop) listen(in io.Reader) {
	for d := json.NewDecoder(in); ; {
		var c Command
		err := d.Decode(&c)
		if err == nil {
			l.commands <- c
		} else {
			close(l.commands)
		}
		one := uint64(1)
		_, _ = unix.Write(l.wake, (*[8]byte)(unsafe.Pointer(&one))[:]) // fails only when it is awake
		if err != nil {
			return
		}
	}
}

func (l *loop) run() error {
	events := make([]unix.EpollEvent, maxEvents)
	for {
		n, err := l.wait(events)
		if err != nil {
			return fmt.Errorf("wait for sockets: %w", err)
		}
		for _, e := range events[:n] {
			switch e.Fd {
			case wakeSlot:
				if over, err := l.obey(); over || err != nil {
					return err
				}
			case timerSlot:
				var count [8]byte
				_, _ = raw.Read(l.timer, count[:])
				l.alarm = 0
			default:
				l.ready(l.conns[e.Fd], e.Events)
			}
		}
		l.open()
		if err := l.tell(); err != nil {
			return err
		}
	}
}

// wait waits for events, of which there is at least one.
func (l *loop) wait(events []unix.EpollEvent) (n int, failed error) {
	l.setAlarm()
	err := l.raw.Read(func(uintptr) (done bool) {
		n, failed = raw.Events(l.epfd, events)
		if failed == unix.EINTR {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	return n, errors.Join(err, failed)
}

// setAlarm sets the timer to what is due next.
func (l *loop) setAlarm() {
	due := l.lookAt
	if l.changed() {
		due = min(due, l.tellAt)
	}
	if l.alarm != 0 && l.alarm <= due {
		return
	}
	l.alarm = max(due, 1)
	_ = raw.SetTimer(l.timer, l.alarm) // fails only for what is no timer
}

func (l *loop) changed() bool {
	for i, g := range l.groups {
		if g.count != l.told[i] {
			return true
		}
	}
	return false
}

// tell tells the coordinator what has changed, and looks after connections that
// don't get on.
func (l *loop) tell() error {
	now := l.clock.Now()
	if now >= l.lookAt {
		l.lookAt = now + int64(lookEvery)
		l.giveUp(now)
	}
	if now < l.tellAt || !l.changed() {
		return nil
	}
	l.tellAt = now + int64(l.every)
	for i, g := range l.groups {
		l.told[i] = g.count
	}
	return l.say(Event{Progress: l.told})
}

func (l *loop) say(e Event) error {
	if err := l.out.Encode(e); err != nil {
		return fmt.Errorf("tell the coordinator: %w", err)
	}
	return nil
}

// giveUp ends those that have not been opened in time.
func (l *loop) giveUp(now int64) {
	for _, g := range l.groups {
		if g.opening == 0 {
			continue
		}
		for i := range g.conns {
			if c := &g.conns[i]; c.phase.opening() && now-c.began > int64(openWithin) {
				l.end(c, fmt.Errorf("no answer within %v, %s", openWithin, phases[c.phase]))
			}
		}
	}
}

// ready handles an event of a connection. It may be an old one, of a socket that
// is closed: then there is nothing to read.
func (l *loop) ready(c *conn, events uint32) {
	if c.fd < 0 {
		return
	}
	if events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
	if events&^uint32(unix.EPOLLOUT) != 0 && c.fd >= 0 {
		l.read(c)
	}
}

// read reads until the socket has no more. The clock is read once for each read,
// behind it: all that came in one read came at that time at the latest.
func (l *loop) read(c *conn) {
	for more := true; more && c.fd >= 0; {
		kept := copy(l.buf, c.rest)
		n, err := raw.Read(int(c.fd), l.buf[kept:])
		now := l.clock.Now()
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return
		case err != nil:
			l.end(c, said(c, err))
			return
		case n == 0:
			l.end(c, said(c, errors.New("the connection ended")))
			return
		}
		more = n == len(l.buf)-kept
		taken, err := c.group.protocol.read(c, l.buf[:kept+n], now)
		if c.mute {
			c.out = nil
		}
		if len(c.out) > 0 {
			l.flush(c)
		}
		if err != nil {
			l.end(c, err)
			return
		}
		if err := l.keep(c, l.buf[taken:kept+n]); err != nil {
			l.end(c, err)
		}
	}
}

// said is what the other side said before the connection ended, else how it did.
func said(c *conn, err error) error {
	switch {
	case c.why != "":
		return errors.New(c.why)
	case c.phase == connecting:
		return fmt.Errorf("connect to %v: %w", c.group.target(c).at, err)
	case c.phase < live:
		return fmt.Errorf("%w, %s", err, phases[c.phase])
	}
	return err
}

// keep keeps what is not the whole of anything until the next read, for which
// there must be room.
func (l *loop) keep(c *conn, rest []byte) error {
	if len(rest) == 0 {
		c.rest = nil
		return nil
	}
	c.rest = append(c.rest[:0], rest...)
	if len(rest) > len(l.buf)/2 {
		if len(l.buf) >= largest {
			return fmt.Errorf("a message of more than %d bytes came", largest/2)
		}
		l.buf = make([]byte, 2*len(l.buf))
	}
	return nil
}

// end ends a connection because the other side has, or is not to be understood.
func (l *loop) end(c *conn, why error) {
	c.group.ended(c, why.Error())
	l.drop(c)
}

// drop gives a connection's socket back.
func (l *loop) drop(c *conn) {
	if c.fd < 0 {
		return
	}
	_ = unix.Close(int(c.fd)) // takes it out of epoll too
	c.fd, c.phase, c.rest, c.part, c.out, c.why, c.stalled, c.waits, c.mute = -1, away, nil, nil, nil, "", false, false, false
	c.group.count.Open--
}

func (l *loop) watch(op, fd int, slot int32, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: slot}
	return unix.EpollCtl(l.epfd, op, fd, &e)
}

func (l *loop) close() {
	for _, g := range l.groups {
		for i := range g.conns {
			l.drop(&g.conns[i])
		}
	}
	_ = l.epoll.Close()
	for _, fd := range []int{l.wake, l.timer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
