package receive

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"belfry/internal/load/raw"
)

// open begins to connect as many as may be on their way at the same time.
func (l *loop) open() {
	for _, g := range l.groups {
		for len(g.todo) > 0 && g.opening < g.Handshakes {
			c := g.todo[0]
			g.todo = g.todo[1:]
			l.connect(c)
		}
	}
}

// connect begins to connect. On loopback the socket mostly takes the request at
// once; where it does not, epoll says when.
func (l *loop) connect(c *conn) {
	g := c.group
	g.opening++
	buffer := g.Buffer
	if c.began > 0 { // it comes back, to read
		buffer = 0
	}
	c.phase, c.sentinel, c.caught, c.began = connecting, false, false, l.clock.Now()
	fd, err := socket(g.target(c).at, c.number, buffer)
	if err != nil {
		g.ended(c, err.Error())
		c.phase = away
		return
	}
	c.fd = int32(fd)
	g.count.Open++
	c.out = g.protocol.request(c)
	if err := l.watch(unix.EPOLL_CTL_ADD, fd, c.slot, unix.EPOLLIN); err != nil {
		l.end(c, fmt.Errorf("watch a socket: %w", err))
		return
	}
	l.flush(c)
}

// socket makes one that is being connected. To loopback it comes from one of
// many addresses of this machine, 200 connections from each: one has 28,000
// ports, and those of connections that ended are taken for another minute.
// buffer is what the system may keep of what is not read, 0 for its own choice.
func socket(to netip.AddrPort, number, buffer int) (int, error) {
	family := unix.AF_INET
	if !to.Addr().Is4() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if buffer > 0 { // before it connects, or the window is larger
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if to.Addr().Is4() && to.Addr().IsLoopback() {
		n := number / perSource
		from := [4]byte{127, 0, byte(1 + n/sourcesAByte), byte(1 + n%sourcesAByte)}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from}); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("take the address %v: %w", netip.AddrFrom4(from), err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect to %v: %w", to, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// flush writes what there is to write, and has epoll say when there is room for
// the rest. What can't be written any more is of no account: what the other side
// said before it went away is still to be read.
func (l *loop) flush(c *conn) {
	n, err := raw.Write(int(c.fd), c.out)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		n = 0
	case err != nil && c.phase == connecting:
		l.end(c, fmt.Errorf("connect to %v: %w", c.group.target(c).at, err))
		return
	case err != nil:
		n = len(c.out)
	case c.phase == connecting:
		c.phase = greeting
	}
	c.out = c.out[n:]
	if len(c.out) == 0 {
		c.out = nil
	}
	if waits := c.out != nil; waits != c.waits {
		c.waits = waits
		events := uint32(unix.EPOLLIN)
		if waits {
			events |= unix.EPOLLOUT
		}
		_ = l.watch(unix.EPOLL_CTL_MOD, int(c.fd), c.slot, events) // it is watched, or not to be read
	}
}
