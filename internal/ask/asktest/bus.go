// Package asktest stands in for the bus in tests of what asks a backend.
package asktest

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// A Bus is a backend in memory. It keeps to bus.Bus's contract: done is called
// once, on another goroutine, or never after cancel returned true.
type Bus struct {
	// Reply is called for each request; nil leaves them unanswered.
	Reply func(*Request)

	mu   sync.Mutex
	sent []*Request
}

// A Request is one that was sent.
type Request struct {
	Msg     *nats.Msg
	Timeout time.Duration

	once  sync.Once
	done  func(*nats.Msg, error)
	timer *time.Timer
}

// Answer ends a request that is not over yet.
func (r *Request) Answer(data string, err error) (won bool) {
	r.once.Do(func() {
		won = true
		r.timer.Stop()
		go r.done(&nats.Msg{Data: []byte(data)}, err)
	})
	return won
}

// Request implements ask.Requester.
func (b *Bus) Request(msg *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) func() bool {
	r := &Request{Msg: msg, Timeout: timeout, done: done}
	r.timer = time.AfterFunc(timeout, func() { r.once.Do(func() { done(nil, bus.ErrTimeout) }) })
	b.mu.Lock()
	b.sent = append(b.sent, r)
	reply := b.Reply
	b.mu.Unlock()
	if reply != nil {
		reply(r)
	}
	return func() (won bool) {
		r.once.Do(func() { won = true; r.timer.Stop() })
		return won
	}
}

// Count is how many requests have been sent.
func (b *Bus) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

// At is a request, in the order in which they were sent, from 0 on.
func (b *Bus) At(i int) *Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[i]
}

// Replying makes a bus whose backend answers every request with data.
func Replying(data string) *Bus {
	return &Bus{Reply: func(r *Request) { r.Answer(data, nil) }}
}
