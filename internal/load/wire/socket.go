package wire

import (
	"errors"
	"net"
	"syscall"
)

// A socket reads without waiting, unless it is told to.
type socket struct {
	net.Conn
	waits bool
	raw   syscall.RawConn
	call  func(fd uintptr) // reads into b; made once, as it would be allocated each time
	b     []byte
	n     int
	err   error
}

func newSocket(conn net.Conn) (*socket, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, raw: raw, waits: true}
	s.call = func(fd uintptr) { s.n, s.err = syscall.Read(int(fd), s.b) }
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
	failed := s.raw.Control(s.call)
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
