// Package line is a bad line: a TCP proxy on loopback that can be cut, frozen,
// slowed and forgotten while connections are open on it.
//
//	p, err := line.Listen("127.0.0.1:4222")
//	nats.Connect(p.Addr())
//	p.Cut()
//	p.Heal()
//
// It stands between a client and a gateway, or a gateway and NATS. Goroutines:
// one that accepts, and two for each connection, one in each direction.
package line

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// buffer is how much the proxy lets the system hold on a slowed line, and
// passes on at once, in bytes.
const buffer = 16 << 10

// wide is what the system may hold on a line that was slow and is no more: with
// buffer, which is less than a segment on loopback, TCP would crawl on.
const wide = 1 << 20

// A state is what a line does with what it is given.
type state uint8

const (
	open state = iota
	frozen
	cut
	closed
)

// A Proxy carries connections to its target. Its methods may be called from any
// goroutine, in any order.
type Proxy struct {
	target   string
	listener net.Listener
	over     sync.WaitGroup // all its goroutines

	mu      sync.Mutex // guards the following
	state   state
	rate    int // bytes a second, connection and direction; 0 is any
	delay   time.Duration
	changed chan struct{} // closed, and made anew, when any of these change
	pairs   map[*pair]struct{}
}

// Listen starts one in front of target, host:port, at a free port of 127.0.0.1.
// The target need not be there: a connection that can't be carried on to it is
// reset.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a line to %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), pairs: map[*pair]struct{}{}}
	p.over.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where to connect to instead of the target, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut resets (RST) the connections that there are, both sides of them, and new
// ones as soon as they are made, until Heal.
func (p *Proxy) Cut() {
	p.change(func() {
		p.state = cut
		p.resetAll()
	})
}

// Freeze makes the line half-open until Heal: nothing is carried in either
// direction, no end of a connection either, and neither side is told. New
// connections are made and frozen too.
func (p *Proxy) Freeze() { p.change(func() { p.state = frozen }) }

// Slow bounds each connection to bytesPerSecond in each direction, and holds
// each piece of up to 16 KiB for delay before it is carried on; what is behind
// it waits too. 0 is no bound, and no delay. It holds until the next Slow or
// Heal.
func (p *Proxy) Slow(bytesPerSecond int, delay time.Duration) {
	p.change(func() {
		p.rate, p.delay = bytesPerSecond, delay
		for c := range p.pairs {
			p.narrow(c)
		}
	})
}

// Forget has the connections that there are carry nothing more, for good, not
// even that one side is gone: as when a machine loses its network, or a router
// its table. New ones are served.
func (p *Proxy) Forget() {
	p.change(func() {
		for c := range p.pairs {
			c.forgotten = true
		}
	})
}

// Heal ends what Cut, Freeze and Slow began. Frozen connections go on where
// they were, and nothing that was on its way is lost; those that were cut or
// forgotten stay so.
func (p *Proxy) Heal() {
	p.change(func() {
		p.state, p.rate, p.delay = open, 0, 0
		for c := range p.pairs {
			c.widen()
		}
	})
}

// Close ends the proxy and resets all its connections. It returns when its
// goroutines have ended.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.change(func() {
		p.state = closed
		p.resetAll()
	})
	p.over.Wait()
}

// change does f and wakes everybody who waits by what was before.
func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == closed {
		return
	}
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	defer p.over.Done()
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors
			time.Sleep(10 * time.Millisecond)
			continue
		}
		c := &pair{client: conn.(*net.TCPConn), over: make(chan struct{})}
		if p.add(c) {
			go p.serve(c)
		}
	}
}

// add takes a connection in, or resets it.
func (p *Proxy) add(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == cut || p.state == closed {
		c.reset()
		return false
	}
	p.pairs[c] = struct{}{}
	p.over.Add(1)
	return true
}
