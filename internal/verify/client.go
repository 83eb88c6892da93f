package verify

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/position"
	"belfry/internal/verify/judge"
)

// A target is where a gateway is reached: by its line, if we have one.
type target struct {
	name string
	url  *url.URL // http or https
}

const (
	dialWithin = 3 * time.Second
	// silence is how long a client with heartbeats waits for one before it goes.
	silence = 6 * time.Second
	// kernelBuffer keeps what waits in the system small, so that a client that
	// does not read is felt by the gateway.
	kernelBuffer = 8 << 10
)

// A client connects, breaks off, and connects again, to a gateway by chance.
type client struct {
	rec      *record
	rng      *rand.Rand
	targets  []target
	token    string
	device   string
	dialect  dialect
	life     time.Duration // about how long a connection is kept
	patient  bool          // it comes back when it is known that it had broken off
	settling *atomic.Bool  // nothing is broken off any more
	history  *judge.Client

	mu     sync.Mutex
	latest map[string]came // by channel: what came last

	at      position.Position   // the newest position that it was told
	earlier []position.Position // some that it was told before
}

// came is a publication that came, and where it stands, for who has positions.
type came struct {
	id string
	at position.Mark
}

// A dialect is how a client talks. It returns when the connection has ended,
// with how.
type dialect func(ctx context.Context, c *client, to target, conn *judge.Conn) string

// run is the client's life, until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		to := c.targets[c.rng.IntN(len(c.targets))]
		conn := &judge.Conn{Gateway: to.name, Opened: c.rec.now(), Brought: c.bring()}
		how := c.dialect(ctx, c, to, conn)
		conn.Closed, conn.How = c.rec.now(), how
		c.history.Conns = append(c.history.Conns, conn)
		if len(conn.Events) > 0 {
			c.rec.count("connections")
		} else {
			c.rec.count("connections that came to nothing")
		}
		c.pause(ctx)
	}
}

// bring is the position to come back with: the newest, or now and then an older
// one that the client had, as of a page that was slow to store it.
func (c *client) bring() position.Position {
	if n := len(c.earlier); n > 0 && c.rng.IntN(12) == 0 && !c.settling.Load() {
		c.at = c.earlier[c.rng.IntN(n)]
		c.forget()
		c.rec.count("went back to an older position")
	}
	return c.at
}

// forget gives up what came last where that is to come again.
func (c *client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for channel, last := range c.latest {
		if at := c.at.Get(position.Of(channel)); last.at.Epoch == at.Epoch && last.at.Seq > at.Seq {
			delete(c.latest, channel)
		}
	}
}

// pause is the time between two connections: mostly short.
func (c *client) pause(ctx context.Context) {
	wait := time.Duration(c.rng.Int64N(int64(400 * time.Millisecond)))
	if c.rng.IntN(10) == 0 {
		wait = time.Duration(c.rng.Int64N(int64(5 * time.Second)))
	}
	if c.patient {
		wait += judge.Known + 500*time.Millisecond
	}
	if c.settling.Load() {
		wait = 100 * time.Millisecond
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

// event writes down what came.
func (c *client) event(conn *judge.Conn, e judge.Event) {
	e.At = c.rec.now()
	conn.Events = append(conn.Events, e)
	if e.What == judge.Got {
		c.mu.Lock()
		c.latest[e.Channel] = came{e.ID, e.Position.Get(position.Of(e.Channel))}
		c.mu.Unlock()
	}
	if e.Position.IsZero() {
		return
	}
	c.at = e.Position
	switch {
	case e.What == judge.Reset:
		c.earlier = nil
	case c.rng.IntN(20) == 0:
		if len(c.earlier) == 8 {
			c.earlier = c.earlier[1:]
		}
		c.earlier = append(c.earlier, e.Position)
	}
}

// got is what came last on a channel.
func (c *client) got(channel string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest[channel].id
}

// An ending is how a client means to end a connection, and when it stops
// reading for a while.
type ending struct {
	after  time.Duration
	abrupt bool
	sleepy time.Duration // after so long
	sleep  time.Duration // it reads nothing for this
}

func (c *client) plan() ending {
	e := ending{after: 30*time.Millisecond + time.Duration(c.rng.ExpFloat64()*float64(c.life)), abrupt: c.rng.IntN(2) == 0}
	if c.rng.IntN(8) == 0 {
		e.sleepy = time.Duration(c.rng.Int64N(int64(c.life)))
		e.sleep = time.Second + time.Duration(c.rng.Int64N(int64(2*time.Second)))
	}
	return e
}

// breakOff ends a connection when its time has come, in good order or not, and by
// gone when ctx ends. ours says whether it did; stop takes that back.
func (c *client) breakOff(ctx context.Context, e ending, gone, leave, abort func()) (ours *atomic.Bool, stop func()) {
	ours = new(atomic.Bool)
	ended := context.AfterFunc(ctx, func() { ours.Store(true); gone() })
	life := time.AfterFunc(e.after, func() {
		switch {
		case c.settling.Load():
			return
		case e.abrupt:
			leave = abort
		}
		ours.Store(true)
		leave()
	})
	return ours, func() { ended(); life.Stop() }
}

// nap stops reading for a while, once, when it is time.
func (c *client) nap(ctx context.Context, e *ending, since time.Time) {
	if e.sleep == 0 || c.settling.Load() || time.Since(since) < e.sleepy {
		return
	}
	c.rec.count("slow consumers")
	select {
	case <-time.After(e.sleep):
	case <-ctx.Done():
	}
	e.sleep = 0
}

// dial opens a connection. abort resets it (RST); it may be called at any time.
func dial(ctx context.Context, to target) (conn net.Conn, abort func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	var d net.Dialer
	host := to.url.Host
	if to.url.Port() == "" {
		host = net.JoinHostPort(to.url.Hostname(), map[string]string{"https": "443"}[to.url.Scheme]+map[string]string{"http": "80"}[to.url.Scheme])
	}
	raw, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, nil, err
	}
	tcp := raw.(*net.TCPConn)
	_ = tcp.SetReadBuffer(kernelBuffer)
	abort = func() {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
	if to.url.Scheme != "https" {
		return tcp, abort, nil
	}
	t := tls.Client(tcp, &tls.Config{ServerName: to.url.Hostname()})
	if err := t.HandshakeContext(ctx); err != nil {
		abort()
		return nil, nil, err
	}
	return t, abort, nil
}
