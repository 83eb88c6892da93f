package main

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"strings"
	"sync"

	"github.com/centrifugal/centrifuge"
	"github.com/nats-io/nats.go"
)

// broker feeds the library's channels from NATS: a subscription for each
// channel that somebody here is subscribed to. What is published has no history.
//
// Subscriptions share a few Go channels, one for each core, by the hash of
// their subject: a callback each would cost a goroutine and some kilobytes, and
// one for all would use one core.
type broker struct {
	conn    *nats.Conn
	seed    maphash.Seed
	queues  []chan *nats.Msg
	handler centrifuge.BrokerEventHandler

	mu   sync.Mutex // guards the following
	subs map[string]*nats.Subscription
}

const queueLength = 1 << 16

func newBroker(conn *nats.Conn) *broker {
	b := &broker{conn: conn, seed: maphash.MakeSeed(), subs: map[string]*nats.Subscription{}}
	for range runtime.GOMAXPROCS(0) {
		b.queues = append(b.queues, make(chan *nats.Msg, queueLength))
	}
	return b
}

// subject of a channel, and channelOf a subject: "#42" is notification.42, "news"
// is channel.news.
func subject(channel string) string {
	if user, ok := strings.CutPrefix(channel, "#"); ok {
		return "notification." + user
	}
	return "channel." + channel
}

func channelOf(subject string) string {
	if user, ok := strings.CutPrefix(subject, "notification."); ok {
		return "#" + user
	}
	return strings.TrimPrefix(subject, "channel.")
}

// RegisterBrokerEventHandler begins to hand over what comes; the goroutines run
// as long as the process.
func (b *broker) RegisterBrokerEventHandler(h centrifuge.BrokerEventHandler) error {
	b.handler = h
	for _, queue := range b.queues {
		go func() {
			for m := range queue {
				_ = h.HandlePublication(channelOf(m.Subject), &centrifuge.Publication{Data: m.Data}, centrifuge.StreamPosition{}, false, nil)
			}
		}()
	}
	return nil
}

// Subscribe does not wait for the broker to have it: what is published by
// another connection right after may pass, as with the library's own brokers.
func (b *broker) Subscribe(channels ...string) error {
	for _, ch := range channels {
		s := subject(ch)
		sub, err := b.conn.ChanSubscribe(s, b.queues[maphash.String(b.seed, s)%uint64(len(b.queues))])
		if err != nil {
			return fmt.Errorf("subscribing to %s: %w", s, err)
		}
		b.mu.Lock()
		b.subs[ch] = sub
		b.mu.Unlock()
	}
	return nil
}

func (b *broker) Unsubscribe(channels ...string) error {
	for _, ch := range channels {
		b.mu.Lock()
		sub := b.subs[ch]
		delete(b.subs, ch)
		b.mu.Unlock()
		if sub == nil {
			continue
		}
		if err := sub.Unsubscribe(); err != nil {
			return fmt.Errorf("unsubscribing from %s: %w", sub.Subject, err)
		}
	}
	return nil
}

func (b *broker) Publish(ch string, data []byte, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	return centrifuge.PublishResult{}, b.conn.Publish(subject(ch), data)
}

// Joins and leaves are not announced, and nothing is kept.

func (b *broker) PublishJoin(string, *centrifuge.ClientInfo) error  { return nil }
func (b *broker) PublishLeave(string, *centrifuge.ClientInfo) error { return nil }
func (b *broker) RemoveHistory(string) error                        { return nil }
func (b *broker) History(string, centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	return nil, centrifuge.StreamPosition{}, nil
}
