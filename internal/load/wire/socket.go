package wire

import (
	"errors"
	"net"
	"syscall"

	"belfry/internal/load/raw"
)

// A socket reads without waiting, unless it is told to, and writes without
// waiting where there is room.
type socket struct {
	net.Conn
	waits       bool
	direct      syscall.RawConn
	read, write func(fd uintptr) // of b; made once, as they would be allocated each time
	b           []byte
	n           int
	err         error
}

func newSocket(conn net.Conn) (*socket, error) {
	direct, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, direct: direct, waits: true}
	s.read = func(fd uintptr) { s.n, s.err = raw.Read(int(fd), s.b) }
	s.write = func(fd uintptr) { s.n, s.err = raw.Write(int(fd), s.b) }
	return s, nil
}

// nothing is an error of the kind that TLS goes on after.
type nothing struct{}

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

var (
	errNothing error = nothing{}
	errEnded         = errors.New("it was closed at the other end")
)

// Read implements net.Conn. The error is errNothing where it did not wait and
// nothing has come.
func (s *socket) Read(b []byte) (int, error) {
	if s.waits {
		return s.Conn.Read(b)
	}
	s.b = b
	failed := s.direct.Control(s.read)
	switch {
	case failed != nil:
		return 0, failed
	case s.err == syscall.EAGAIN || s.err == syscall.EINTR:
		return 0, errNothing
	case s.err != nil:
		return 0, s.err
	case s.n == 0:
		return 0, errEnded
	}
	return s.n, nil
}

// Write implements net.Conn. What there is no room for just now, and what fails,
// is the connection's own Write's.
func (s *socket) Write(b []byte) (int, error) {
	s.b = b
	if s.direct.Control(s.write) != nil || s.err != nil {
		return s.Conn.Write(b)
	}
	if n := s.n; n < len(b) {
		rest, err := s.Conn.Write(b[n:])
		return n + rest, err
	}
	return len(b), nil
}
