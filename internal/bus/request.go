package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// requests are those that wait for a reply. All replies come through one
// subscription, "<inbox>.*", whose last token finds the request here.
type requests struct {
	inbox string // with the dot before the token

	mu      sync.Mutex          // guards the following
	pending map[uint64]*request // by token
	closed  bool
}

// ErrAway is for whoever asks while NATS is away. It wraps ErrUnavailable.
var ErrAway = fmt.Errorf("%w: NATS is away", ErrUnavailable)

type request struct {
	subject string
	done    func(*nats.Msg, error)
	timer   *time.Timer
	err     error // what done is told when the timer fires
}

// Request sends msg and calls done once, with the reply, or with ErrTimeout,
// with ErrUnavailable where nobody listens or NATS is away or goes away
// meanwhile, or with another error where msg can't be sent at all (too large,
// not a subject). Neither msg nor its data may change until then. The first
// reply counts, later ones are dropped.
//
// done runs on a goroutine of the bus's that other replies wait for: it must
// not block. It is never called from within Request. cancel returns true when
// it will not be called any more, false when it was or is about to be.
func (b *Bus) Request(msg *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) (cancel func() bool) {
	token := b.requests.add(msg.Subject, done, timeout)
	ask := nats.Msg{
		Subject: msg.Subject,
		Reply:   b.requests.inbox + strconv.FormatUint(token, 36),
		Header:  msg.Header,
		Data:    msg.Data,
	}
	if err := b.nc.PublishMsg(&ask); err != nil {
		b.requests.fail(token, b.sendError(err))
	}
	return func() bool {
		r := b.requests.take(token)
		return r != nil
	}
}

// sendError is why a message could not be sent. Whatever a connection that is
// not up says (a full buffer, closed, no headers) means that NATS is away.
func (b *Bus) sendError(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionClosed) || !b.nc.IsConnected() {
		return ErrAway
	}
	return fmt.Errorf("send a request: %w", err)
}

// listen subscribes to the replies. A callback, not a channel: the library's
// queue behind it takes 65 MB, a full channel would drop.
func (b *Bus) listen() error {
	b.requests.inbox = b.nc.NewInbox() + "."
	_, err := b.nc.Subscribe(b.requests.inbox+"*", b.requests.onReply)
	return err
}

func (t *requests) onReply(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(t.inbox):], 36, 64)
	if err != nil {
		return
	}
	r := t.take(token)
	switch {
	case r == nil: // too late, or a second reply
	case len(m.Data) == 0 && m.Header.Get("Status") == "503":
		r.done(nil, fmt.Errorf("%w: nobody answers on %s", ErrUnavailable, r.subject))
	default:
		r.done(m, nil)
	}
}

// add enters a request under a token that can't be guessed: whoever answers
// one request knows the inbox and could answer the others too.
func (t *requests) add(subject string, done func(*nats.Msg, error), timeout time.Duration) (token uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token == 0 || t.pending[token] != nil {
		token = rand.Uint64()
	}
	r := &request{subject: subject, done: done, err: ErrTimeout}
	if t.closed {
		r.err, timeout = ErrAway, 0
	}
	r.timer = time.AfterFunc(timeout, func() {
		if r := t.take(token); r != nil {
			r.done(nil, r.err)
		}
	})
	t.pending[token] = r
	return token
}

// take removes a request; whoever gets it, and nobody else, calls done.
func (t *requests) take(token uint64) *request {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.pending[token]
	if r == nil {
		return nil
	}
	delete(t.pending, token)
	r.timer.Stop()
	return r
}

// fail has a request's timer fire now, and so done called elsewhere than here.
func (t *requests) fail(token uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.pending[token]; r != nil {
		r.failNow(err)
	}
}

func (t *requests) failAll(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.pending {
		r.failNow(err)
	}
}

func (r *request) failNow(err error) {
	r.err = err
	r.timer.Reset(0)
}

func (t *requests) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.failAll(ErrAway)
}
