package line

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A pair is one connection: the client's, and the one to the target behind it.
type pair struct {
	client *net.TCPConn
	over   chan struct{} // closed when it is reset

	// Guarded by the proxy's mu.
	target    *net.TCPConn // nil until there is one
	forgotten bool
	narrowed  bool
	gone      bool
}

// reset tells both sides that the line is gone. The proxy's mu is held.
func (c *pair) reset() {
	if c.gone {
		return
	}
	c.gone = true
	close(c.over)
	for _, conn := range []*net.TCPConn{c.client, c.target} {
		if conn != nil {
			_ = conn.SetLinger(0) // RST instead of FIN
			_ = conn.Close()
		}
	}
}

// resetAll resets every connection. mu is held.
func (p *Proxy) resetAll() {
	for c := range p.pairs {
		c.reset()
	}
	clear(p.pairs)
}

// end resets one that can't go on, or closes one that has ended on both sides.
func (p *Proxy) end(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
	c.reset()
}

// serve carries a connection until it ends in both directions.
func (p *Proxy) serve(c *pair) {
	defer p.over.Done()
	if !p.pass(c, 0) || !p.dial(c) {
		p.mu.Lock()
		lasting := c.forgotten
		p.mu.Unlock()
		if !lasting {
			p.end(c)
		}
		return
	}
	var directions sync.WaitGroup
	var back, forth outcome
	directions.Go(func() { forth = p.carry(c, c.target, c.client) })
	directions.Go(func() { back = p.carry(c, c.client, c.target) })
	directions.Wait()
	switch {
	case back == kept || forth == kept: // forgotten: its ends must not be told
	case back == ended && forth == ended: // both were told
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, c)
		_, _ = c.client.Close(), c.target.Close()
	default:
		p.end(c)
	}
}

// dial connects to the target, and narrows the line if it is to be slow.
func (p *Proxy) dial(c *pair) bool {
	conn, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.target = conn.(*net.TCPConn)
	if c.gone { // meanwhile
		_ = conn.Close()
		return false
	}
	p.narrow(c)
	return true
}

// narrow has the system hold little for a slow line, which would otherwise take
// megabytes at once. mu is held.
func (p *Proxy) narrow(c *pair) {
	if p.rate <= 0 || c.target == nil {
		return
	}
	c.narrowed = true
	_ = c.client.SetReadBuffer(buffer)
	_ = c.target.SetReadBuffer(buffer)
}

// widen ends what narrow did. The proxy's mu is held.
func (c *pair) widen() {
	if c.narrowed && c.target != nil {
		_ = c.client.SetReadBuffer(wide)
		_ = c.target.SetReadBuffer(wide)
	}
	c.narrowed = false
}

// An outcome is how one direction of a connection ended.
type outcome uint8

const (
	broken outcome = iota // by an error, which the other side must be told
	ended                 // by its end, which the other side was told
	kept                  // forgotten: neither side may be told
)

// carry copies from one side to the other.
func (p *Proxy) carry(c *pair, to, from *net.TCPConn) outcome {
	buf := make([]byte, buffer)
	for {
		n, err := from.Read(buf)
		if !p.pass(c, n) {
			return p.why(c)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			p.end(c)
			return broken
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return ended
		}
		if err != nil {
			p.end(c)
			return broken
		}
	}
}

func (p *Proxy) why(c *pair) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.forgotten {
		return kept
	}
	return broken
}

// pass waits until n bytes, or what happened to the connection, may be carried
// on. It returns false where they never may.
func (p *Proxy) pass(c *pair, n int) bool {
	began := time.Now()
	for {
		p.mu.Lock()
		now, changed, forgotten := p.state, p.changed, c.forgotten
		left := time.Until(began.Add(p.takes(n)))
		p.mu.Unlock()
		switch {
		case forgotten:
			return false
		case now == frozen:
			left = time.Hour
		case left <= 0:
			return now == open
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
		case <-c.over:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// takes is how long n bytes are under way. mu is held.
func (p *Proxy) takes(n int) time.Duration {
	if n == 0 {
		return 0
	}
	took := p.delay
	if p.rate > 0 {
		took += time.Second * time.Duration(n) / time.Duration(p.rate)
	}
	return took
}
