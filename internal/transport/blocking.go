package transport

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"

	"belfry/internal/reason"
)

// blocking is the portable way: a goroutine reads the connection all its life,
// another writes while there is something to write. It is what TLS takes, and
// every connection on systems without an event loop. It costs an idle
// connection its goroutine, a buffer, and what crypto/tls keeps.
type blocking struct {
	nc       net.Conn
	socket   syscall.RawConn // beneath TLS; nil for a response
	written  atomic.Uint64
	released chan struct{} // has a token when finish is worth another try
}

func newBlocking(nc net.Conn) *blocking {
	return &blocking{nc: nc, socket: socketOf(nc), released: make(chan struct{}, 1)}
}

// socketOf finds the socket beneath a connection, nil where there is none of its
// own.
func socketOf(nc net.Conn) syscall.RawConn {
	if over, ok := nc.(*tls.Conn); ok {
		nc = over.NetConn()
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// adopt and close make it a poller of one.
func (s *blocking) adopt(*Conn, net.Conn) (driver, error) { return s, nil }
func (s *blocking) close()                                {}

func (s *blocking) watch(c *Conn) {
	c.begin()
	go s.read(c)
	go c.pumpBusy()
}

const blockingBuffer = 2 << 10

func (s *blocking) read(c *Conn) {
	buf := make([]byte, blockingBuffer)
	for {
		n, err := s.nc.Read(buf)
		if n > 0 {
			c.heard()
			c.guard(func() { c.feed(buf[:n]) })
		}
		if err != nil {
			break
		}
	}
	c.end(reason.ClientGone)
	for !c.finish() {
		<-s.released
	}
	if r, ok := s.nc.(*response); ok {
		close(r.finished)
	}
}

func (s *blocking) blocks() bool { return true }

// piece is how much is written at once: a TLS record. What has been taken counts
// piece by piece, or a large message on a slow line would look like none.
const piece = 16 << 10

func (s *blocking) write(_ *Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var took int
		took, err = s.nc.Write(b[n:min(n+piece, len(b))])
		n += took
		s.written.Add(uint64(took))
	}
	return n, err
}

// writeAll joins the buffers: over TLS each write costs a record.
func (s *blocking) writeAll(c *Conn, bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return s.write(c, bufs[0])
	}
	joined := make([]byte, 0, total(bufs))
	for _, b := range bufs {
		joined = append(joined, b...)
	}
	return s.write(c, joined)
}

// resume is never called: a write that blocks takes all.
func (s *blocking) resume(*Conn) {}

// acknowledged is what has been written where the system does not tell more: it
// takes much for a client that has vanished.
func (s *blocking) acknowledged(*Conn) (count uint32) {
	known := false
	if s.socket != nil {
		_ = s.socket.Control(func(fd uintptr) { count, known = acknowledgedBy(int(fd)) }) // fails where it is closed
	}
	if !known {
		count = uint32(s.written.Load())
	}
	return count
}

func (s *blocking) unsent(*Conn) (bytes int64, exact bool) {
	if s.socket != nil {
		_ = s.socket.Control(func(fd uintptr) { bytes, exact = unsentTo(int(fd)) })
	}
	return bytes, exact
}

func (s *blocking) release(*Conn) {
	s.nc.Close() // ends a read and a write that are under way
	select {
	case s.released <- struct{}{}:
	default:
	}
}
