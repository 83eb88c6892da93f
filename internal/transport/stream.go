package transport

import (
	"net"
	"sync/atomic"

	"belfry/internal/reason"
)

// stream is the portable way: a goroutine reads the connection all its life,
// another writes while there is something to write. It is what TLS takes, and
// every connection on systems without an event loop. It costs an idle
// connection its goroutine, a buffer, and what crypto/tls keeps.
type stream struct {
	nc       net.Conn
	written  atomic.Uint64
	released chan struct{} // has a token when finish is worth another try
}

func newStream(nc net.Conn) *stream {
	return &stream{nc: nc, released: make(chan struct{}, 1)}
}

// adopt and close make it a poller of one.
func (s *stream) adopt(*Conn, net.Conn) (driver, error) { return s, nil }
func (s *stream) close()                                {}

func (s *stream) watch(c *Conn) {
	c.begin()
	go s.read(c)
	go c.pumpBusy()
}

const streamBuffer = 2 << 10

func (s *stream) read(c *Conn) {
	buf := make([]byte, streamBuffer)
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
}

func (s *stream) blocks() bool { return true }

func (s *stream) write(_ *Conn, b []byte) (int, error) {
	n, err := s.nc.Write(b)
	s.written.Add(uint64(n))
	return n, err
}

// writeAll joins the buffers: over TLS each write costs a record.
func (s *stream) writeAll(c *Conn, bufs [][]byte) (int, error) {
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
func (s *stream) resume(*Conn) {}

func (s *stream) acknowledged(*Conn) uint64 { return s.written.Load() }

func (s *stream) release(*Conn) {
	s.nc.Close() // ends a read and a write that are under way
	select {
	case s.released <- struct{}{}:
	default:
	}
}
