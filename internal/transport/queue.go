package transport

// queue is what waits for a socket that takes no more. Its buffers are shared
// with other connections: only the slice of them is this connection's own.
type queue struct {
	bufs [][]byte // the first may be partly sent
	size int64    // bytes
}

func total(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// The following are called with mu held.

// behindFirst is how many bytes wait behind the buffer that is under way.
func (c *Conn) behindFirst() int64 {
	if c.out == nil {
		return 0
	}
	return c.out.size - int64(len(c.out.bufs[0]))
}

func (c *Conn) enqueue(b []byte) {
	if c.out == nil {
		c.out = &queue{}
	}
	c.out.bufs = append(c.out.bufs, b)
	c.count(int64(len(b)))
}

// enqueueFirst puts back what the socket did not take of a buffer.
func (c *Conn) enqueueFirst(b []byte) {
	if c.out == nil {
		c.out = &queue{}
	}
	c.out.bufs = append(c.out.bufs, nil)
	copy(c.out.bufs[1:], c.out.bufs)
	c.out.bufs[0] = b
	c.count(int64(len(b)))
}

// dequeue takes n sent bytes off. An empty queue is let go.
func (c *Conn) dequeue(n int) {
	c.count(-int64(n))
	for n > 0 {
		first := c.out.bufs[0]
		if n < len(first) {
			c.out.bufs[0] = first[n:]
			return
		}
		n -= len(first)
		c.out.bufs[0] = nil
		c.out.bufs = c.out.bufs[1:]
	}
	if len(c.out.bufs) == 0 {
		c.out = nil
	}
}

// cutQueue drops all but the buffer that may be partly sent.
func (c *Conn) cutQueue() {
	kept := c.out.bufs[:1]
	if c.flags&busy != 0 { // the writer has up to maxBuffers of them in hand
		kept = c.out.bufs[:min(maxBuffers, len(c.out.bufs))]
	}
	c.count(int64(total(kept)) - c.out.size)
	c.out.bufs = kept
}

func (c *Conn) clearQueue() {
	if c.out != nil {
		c.count(-c.out.size)
		c.out = nil
	}
}

func (c *Conn) count(n int64) {
	c.out.size += n
	c.server.stats.queueBytes.Add(n)
}
