package transport

import (
	"net"
	"sync/atomic"

	"belfry/internal/reason"
)

// blocking is the portable way: a goroutine reads the connection all its life,
// another writes while there is something to write. It is what TLS takes, and
// every connection on systems without an event loop. It costs an idle
// connection its goroutine, a buffer, and what crypto/tls keeps.
type blocking struct {
	nc       net.Conn
	written  atomic.Uint64
	released chan struct{} // has a token when finish is worth another try
}

func newBlocking(nc net.Conn) *blocking {
	return &blocking{nc: nc, released: make(chan struct{}, 1)}
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

func (s *blocking) acknowledged(*Conn) uint32 { return uint32(s.written.Load()) }

func (s *blocking) unsent(*Conn) (int64, bool) { return 0, false }

func (s *blocking) release(*Conn) {
	s.nc.Close() // ends a read and a write that are under way
	select {
	case s.released <- struct{}{}:
	default:
	}
}
