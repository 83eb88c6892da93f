package bus

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// link is what the bus knows about its connection from the library's
// callbacks, which run one after the other on a goroutine of its own.
type link struct {
	mu    sync.Mutex
	since time.Time // when it was lost or first tried; zero while it is up
	lost  bool      // it broke, or its first try failed
	last  error     // why it is away
	back  []func()

	firing sync.Mutex // one round of back at a time
	errs   quiet
	tries  quiet
}

// OnReconnect has f called each time that the connection is there after it was
// not: a reconnect, or a first connect that did not succeed at once. f runs on
// a goroutine of the bus's, one at a time.
func (b *Bus) OnReconnect(f func()) {
	b.link.mu.Lock()
	defer b.link.mu.Unlock()
	b.link.back = append(b.link.back, f)
}

// Lost has one error where the connection is lost for good, without a Close:
// nothing brings this Bus back. It wraps ErrClosed.
func (b *Bus) Lost() <-chan error { return b.lost }

// Away says since when there has been no connection to NATS, or, where that is
// a node of a cluster in this process, since when its cluster has no leader.
func (b *Bus) Away() (since time.Time, away bool) {
	since, away = b.link.gone(b.nc.IsConnected)
	if !away && b.server != nil {
		return b.server.leaderless()
	}
	return since, away
}

// gone is since when the link is down, given whether it is connected now.
func (l *link) gone(connected func() bool) (since time.Time, gone bool) {
	if connected() {
		return time.Time{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		if connected() { // and was told so meanwhile: since would stay until it is next
			return time.Time{}, false
		}
		l.since = time.Now() // the callback is still to come
	}
	return l.since, true
}

// why is the last reason that NATS was away, nil if none was given.
func (b *Bus) why() error {
	b.link.mu.Lock()
	defer b.link.mu.Unlock()
	return b.link.last
}

// up marks the link as connected. It returns for how long it was not, and
// whether that was noticed: a first try that succeeds at once is no reconnect.
func (l *link) up() (away time.Duration, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.IsZero() {
		away = time.Since(l.since)
	}
	lost = l.lost
	l.since, l.lost, l.last = time.Time{}, false, nil
	return away, lost
}

func (l *link) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
	if l.since.IsZero() {
		l.since = time.Now()
	}
	if err != nil {
		l.last = err
	}
}

func (l *link) fire() {
	l.mu.Lock()
	back := slices.Clone(l.back)
	l.mu.Unlock()
	l.firing.Lock()
	defer l.firing.Unlock()
	for _, f := range back {
		f()
	}
}

func (b *Bus) onConnect(nc *nats.Conn) {
	away, lost := b.link.up()
	if !lost {
		b.log.Info("NATS is connected", "nats", b.url)
		return
	}
	b.log.Info("NATS is back", "nats", b.url, "server", nc.ConnectedServerName(), "away", away.Round(time.Millisecond))
	go b.link.fire()
}

func (b *Bus) onDisconnect(nc *nats.Conn, err error) {
	if nc.IsClosed() {
		return
	}
	b.link.down(err)
	b.log.Warn("NATS is away, trying to reconnect", "nats", b.url, "err", err)
	// A reply to what was asked before would find nobody: their inbox is gone.
	b.requests.failAll(ErrAway)
}

// onClosed is called when the library gave the connection up: we have left, or
// the server complained of what the library does not know how to go on after,
// as "maximum payload violation".
func (b *Bus) onClosed(nc *nats.Conn) {
	defer close(b.closed)
	if b.leaving.Load() {
		return
	}
	b.link.down(nc.LastError())
	b.log.Error("NATS is away for good", "nats", b.url, "err", nc.LastError())
	b.requests.failAll(ErrAway)
	b.lost <- fmt.Errorf("%w: %w: start again; where it recurs, the log of NATS says more", ErrClosed, nc.LastError())
}

func (b *Bus) onFailedConnect(_ *nats.Conn, err error) {
	b.link.down(err)
	if b.link.tries.pass(err.Error()) {
		b.log.Warn("NATS can't be reached, trying on", "nats", b.url, "err", err)
	}
}

func (b *Bus) onError(nc *nats.Conn, sub *nats.Subscription, err error) {
	if !nc.IsConnected() { // credentials that are refused come this way
		b.link.down(err)
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if b.link.errs.pass(subject + err.Error()) {
		b.log.Error("NATS reports an error", "subject", subject, "err", err)
	}
}
