// Package live feeds the hub from core NATS: what is published now, for the
// connections that are there now.
//
// `live.<name>` is read with one wildcard subscription. `notification_<user>`,
// the original system's naming, is no NATS wildcard, so each user who is
// connected through a dialect that knows it has a subscription of its own.
// `notification.<user>` and `channel.<name>` are stored, and the journal
// delivers them; only where nothing is stored are they read here too, with a
// wildcard each. All of them share one channel and one goroutine, which hands
// everything that waits to the hub as one batch: a subscription costs about
// 1 KB, and no goroutine.
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
	Live         = "live"         // live.<name>
	Channel      = "channel"      // channel.<name>
)

type source uint8

const (
	notification source = iota
	legacy
	live
	other
	sources
)

var sourceNames = [sources]string{notification: Notification, legacy: Legacy, live: Live, other: Channel}

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

	counts     [sources]atomic.Uint64
	misspelled atomic.Uint64

	// mu guards the following. It is held while a subscription is made or
	// ended, which only fills the NATS client's buffer.
	mu     sync.Mutex
	closed bool
	wild   []*nats.Subscription // nil before Start
	follow map[string]*followed
	drops  drops
}

// New makes a feed that hands on nothing until Start, StartLive or Follow.
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

// StartLive subscribes to what is never stored: what a gateway needs whose
// journal delivers the rest. A second call, or one after Start, does nothing.
func (f *Feed) StartLive() error { return f.start(f.names.AllLive()) }

// Start subscribes to everything that is published for channels: what a gateway
// needs that stores nothing. A second call, or one after StartLive, does
// nothing.
func (f *Feed) Start() error {
	return f.start(f.names.AllLive(), f.names.Users(), f.names.AllChannels())
}

func (f *Feed) start(subjects ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.wild != nil {
		return nil
	}
	var subs []*nats.Subscription
	for _, name := range subjects {
		sub, err := f.nc.ChanSubscribe(name, f.in)
		if err != nil {
			for _, made := range subs {
				f.end(made)
			}
			return fmt.Errorf("subscribing to %q: %w", name, err)
		}
		subs = append(subs, sub)
	}
	f.wild = subs
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
	for _, sub := range f.wild {
		f.end(sub)
	}
	f.wild = nil
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
