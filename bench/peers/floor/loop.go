//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"
)

// An endpoint is what a descriptor belongs to. Everything runs on the loop's one
// thread.
type endpoint interface {
	// readable is called with what was read. A false return closes the descriptor.
	readable(data []byte) bool
	// writable is called when the kernel takes bytes again after it did not.
	writable() bool
	closed()
}

// loop is one epoll instance and its thread.
type loop struct {
	epoll     int
	coalesce  bool
	endpoints []endpoint // by descriptor; nil: none
	accepts   map[int]func(fd int) endpoint
	users     map[string][]*client
	buffer    []byte
}

const bufferSize = 256 << 10

func newLoop(coalesce bool) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating the epoll instance: %w", err)
	}
	return &loop{
		epoll: epoll, coalesce: coalesce,
		accepts: map[int]func(int) endpoint{},
		users:   map[string][]*client{},
		buffer:  make([]byte, bufferSize),
	}, nil
}

// listen opens an IPv4 address, and returns it with the port that it got.
func (l *loop) listen(address string, accept func(fd int) endpoint) (string, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}); err != nil {
		return "", err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	l.accepts[fd] = accept
	in4 := name.(*unix.SockaddrInet4)
	return net.JoinHostPort(netip.AddrFrom4(in4.Addr).String(), fmt.Sprint(in4.Port)),
		l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

func (l *loop) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (l *loop) run() error {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for events: %w", err)
		}
		for _, e := range events[:n] {
			fd := int(e.Fd)
			if accept := l.accepts[fd]; accept != nil {
				l.accept(fd, accept)
			} else if end := l.endpoints[fd]; end != nil && !l.serve(fd, end, e.Events) {
				l.close(fd)
			}
		}
	}
}

func (l *loop) accept(listener int, accept func(fd int) endpoint) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // EAGAIN; with EMFILE the next event tries again
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for len(l.endpoints) <= fd {
			l.endpoints = append(l.endpoints, nil)
		}
		l.endpoints[fd] = accept(fd)
		if l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			l.close(fd)
		}
	}
}

// serve reads once and tells whether the descriptor stays: what is left is the
// next event's.
func (l *loop) serve(fd int, end endpoint, events uint32) bool {
	if events&unix.EPOLLOUT != 0 && !end.writable() {
		return false
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return true
	}
	n, err := unix.Read(fd, l.buffer)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return true
	case err != nil || n == 0:
		return false
	}
	return end.readable(l.buffer[:n])
}

func (l *loop) close(fd int) {
	end := l.endpoints[fd]
	l.endpoints[fd] = nil
	_ = unix.Close(fd)
	if end != nil {
		end.closed()
	}
}
