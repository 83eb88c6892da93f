// Package live feeds the hub from core NATS: what is published now, for the
// connections that are there now.
//
// Two kinds of subject come in. `notification.<user>` is read with one wildcard
// subscription. `notification_<user>`, the original system's naming, is no NATS
// wildcard, so each user who is connected through a dialect that knows it has a
// subscription of its own. All of them share one channel and one goroutine,
// which hands everything that waits to the hub as one batch: a subscription
// costs about 1 KB, and no goroutine.
package live

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
	"belfry/internal/subject"
)

const (
	// waiting is how many messages may wait for the goroutine before NATS
	// messages are dropped. It takes about 1 µs for each, so this is a burst of
	// some 60 ms; the channel itself is 512 KB.
	waiting = 64 << 10
	// maxBatch keeps one batch from holding back what follows it.
	maxBatch = 1024
)

// The sources of publications, as in belfry_publications_total{source}.
const (
	Notification = "notification" // notification.<user>
	Legacy       = "legacy"       // notification_<user>
)

// A Hub takes what came in. It does not keep the slice. hub.Hub is one.
type Hub interface {
	Publish(batch []hub.Publication)
}

// A Feed is one gateway's live subscriptions. It has one goroutine, from New to
// Close.
type Feed struct {
	nc    *nats.Conn
	names subject.Names
	hub   Hub
	log   *slog.Logger

	in    chan *nats.Msg
	stop  chan struct{}
	ended chan struct{}

	spell spelling
	batch []hub.Publication // the goroutine's, used again and again

	notifications atomic.Uint64
	legacy        atomic.Uint64
	misspelled    atomic.Uint64

	// mu guards the following. It is held while a subscription is made or
	// ended, which only fills the NATS client's buffer.
	mu     sync.Mutex
	closed bool
	users  *nats.Subscription // nil before Start
	follow map[string]*followed
	drops  drops
}

// New makes a feed that hands on nothing until Start or Follow.
func New(nc *nats.Conn, names subject.Names, h Hub, log *slog.Logger) *Feed {
	f := newFeed(nc, names, h, log, waiting)
	go f.run()
	return f
}

func newFeed(nc *nats.Conn, names subject.Names, h Hub, log *slog.Logger, waiting int) *Feed {
	return &Feed{
		nc: nc, names: names, hub: h, log: log,
		in:     make(chan *nats.Msg, waiting),
		stop:   make(chan struct{}),
		ended:  make(chan struct{}),
		spell:  newSpelling(names, log),
		follow: make(map[string]*followed),
	}
}

// Start subscribes to every user's personal channel. A second call does
// nothing.
func (f *Feed) Start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.users != nil {
		return nil
	}
	sub, err := f.nc.ChanSubscribe(f.names.Users(), f.in)
	if err != nil {
		return fmt.Errorf("subscribing to %q: %w", f.names.Users(), err)
	}
	f.users = sub
	return nil
}

// Close ends the subscriptions, hands what had already come to the hub, and
// returns when the goroutine is gone. It may be called twice.
func (f *Feed) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		f.dropped() // logged while it can be read
		f.unsubscribe()
		close(f.stop)
	}
	f.mu.Unlock()
	<-f.ended
}

func (f *Feed) unsubscribe() {
	f.end(f.users)
	f.users = nil
	for _, one := range f.follow {
		f.end(one.sub)
	}
	clear(f.follow)
}

// end ends a subscription, if there is one, and keeps its count.
func (f *Feed) end(sub *nats.Subscription) {
	if sub == nil {
		return
	}
	f.drops.ended += dropsOf(sub)
	_ = sub.Unsubscribe() // fails only where the connection is closed
}
