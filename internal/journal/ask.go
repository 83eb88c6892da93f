package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// askAgainAfter is how long nothing may come, between two replies too, until a
// question is asked again. A server that fails to read says nothing.
var askAgainAfter = 2 * time.Second

var (
	// errGone says that the stream has no such message.
	errGone = errors.New("no such message")
	// errUnreadable says that a reply has a header that can't be read.
	errUnreadable = errors.New("a message has a header that is none")
	// errClosed is what questions under way get when the fetcher is closed.
	errClosed = errors.New("closed")
)

// A fetcher reads streams by direct get, over one connection and with one
// subscription for all replies. Its methods may be called from any goroutine,
// and block until answered, until ctx ends, or until NATS is known to be away
// (bus.ErrUnavailable): no answer in time is no error, it asks again.
type fetcher struct {
	nc    *nats.Conn
	api   string
	inbox string // with the dot before the token
	sub   *nats.Subscription
	date  *storeDate

	mu     sync.Mutex // guards the following
	asks   map[uint64]*ask
	closed bool
}

// An ask is a question under way.
type ask struct {
	single  bool // ends with the first reply
	came    chan struct{}
	replies []*nats.Msg // guarded by the fetcher's mu
	ended   bool        // likewise: no more is to come
	err     error       // likewise
}

// apiPrefix is what the subjects of the JetStream API begin with.
func apiPrefix(domain string) string {
	if domain == "" {
		return "$JS.API."
	}
	return "$JS." + domain + ".API."
}

// newFetcher subscribes to the replies. api is apiPrefix's.
func newFetcher(nc *nats.Conn, api string) (*fetcher, error) {
	f := &fetcher{nc: nc, api: api, inbox: nc.NewInbox() + ".", date: newStoreDate(), asks: map[uint64]*ask{}}
	var err error
	if f.sub, err = nc.Subscribe(f.inbox+"*", f.onReply); err != nil {
		return nil, fmt.Errorf("subscribe to what is read from streams: %w", err)
	}
	// What may wait here is bounded by what was asked for.
	if err := f.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to what is read from streams: %w", err)
	}
	return f, nil
}

// lost has what is under way asked again: the connection broke meanwhile.
func (f *fetcher) lost() { f.endAll(nil) }

// close ends the subscription. Questions under way fail.
func (f *fetcher) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.endAll(errClosed)
	f.sub.Unsubscribe() //nolint:errcheck // the connection may be closed already
}

func (f *fetcher) endAll(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for token, a := range f.asks {
		delete(f.asks, token)
		a.end(err)
	}
}

// end is called with the fetcher's mu held.
func (a *ask) end(err error) {
	a.ended, a.err = true, err
	a.wake()
}

func (a *ask) wake() {
	select {
	case a.came <- struct{}{}:
	default:
	}
}

func (f *fetcher) onReply(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(f.inbox):], 36, 64)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.asks[token]
	if a == nil {
		return // given up, or asked again
	}
	a.replies = append(a.replies, m)
	if a.single || !isStored(m) || !readable(m) { // 204 EOB, 404, 503 and any other end it
		delete(f.asks, token)
		a.end(nil)
		return
	}
	a.wake()
}

// ask sends a question and returns the replies, in the order in which they
// came. They are not complete where the last one is a stored message (and
// single is false): whoever reads them goes on from there. None at all means
// that nothing came in time.
func (f *fetcher) ask(ctx context.Context, subject string, data []byte, single bool) ([]*nats.Msg, error) {
	a := &ask{single: single, came: make(chan struct{}, 1)}
	token, err := f.enter(a)
	if err != nil {
		return nil, err
	}
	defer f.forget(token)
	if err := f.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: f.inbox + strconv.FormatUint(token, 36), Data: data}); err != nil {
		if !f.nc.IsConnected() {
			return nil, fmt.Errorf("ask %s: %w", subject, bus.ErrAway) // err says that a buffer is full
		}
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	timer := time.NewTimer(askAgainAfter)
	defer timer.Stop()
	for {
		select {
		case <-a.came:
			if replies, ended, err := f.take(a); ended {
				return replies, err
			}
			timer.Reset(askAgainAfter)
		case <-timer.C:
			replies, _, err := f.take(a)
			return replies, err
		case <-ctx.Done():
			return nil, fmt.Errorf("ask %s: %w", subject, context.Cause(ctx))
		}
	}
}

func (f *fetcher) enter(a *ask) (token uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, errClosed
	}
	for token == 0 || f.asks[token] != nil {
		token = rand.Uint64()
	}
	f.asks[token] = a
	return token, nil
}

func (f *fetcher) forget(token uint64) {
	f.mu.Lock()
	delete(f.asks, token)
	f.mu.Unlock()
}

func (f *fetcher) take(a *ask) (replies []*nats.Msg, ended bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return a.replies, a.ended, a.err
}
