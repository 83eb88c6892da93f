package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/load/payload"
)

// A publisher publishes a run's payloads.
//
// Durable publications are JetStream's by hand: a reply subject each below one
// subscription, and a table of what is not acknowledged. The client library's
// asynchronous publish does the same with a future for each.
type publisher struct {
	nc      *nats.Conn
	writer  *payload.Writer
	durable bool
	inbox   string
	acks    *nats.Subscription

	mu      sync.Mutex // guards the following
	pending map[uint64]*publication
	last    uint64
	err     error         // what no retry mends
	room    chan struct{} // closed and replaced when something is acknowledged
}

// A publication waits for its acknowledgement.
type publication struct {
	msg *nats.Msg
	at  time.Time
}

const (
	maxPending = 2048
	ackWithin  = 5 * time.Second // then again, with the same id
	giveUp     = 30 * time.Second
)

func newPublisher(nc *nats.Conn, seed string, size int, durable bool) (*publisher, error) {
	w, err := payload.NewWriter(seed, size)
	if err != nil {
		return nil, err
	}
	p := &publisher{nc: nc, writer: w, durable: durable, pending: map[uint64]*publication{}, room: make(chan struct{})}
	if durable {
		p.inbox = nc.NewInbox() + "."
		if p.acks, err = nc.Subscribe(p.inbox+"*", p.acked); err != nil {
			return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
		}
	}
	return p, nil
}

func (p *publisher) close() {
	if p.acks != nil {
		_ = p.acks.Unsubscribe()
	}
}

// publish publishes, and waits while too much is not acknowledged.
func (p *publisher) publish(ctx context.Context, subject string, m payload.Message) error {
	data := p.writer.Make(m)
	if !p.durable {
		if err := p.nc.Publish(subject, data); err != nil {
			return fmt.Errorf("publish on %s: %w", subject, err)
		}
		return nil
	}
	if err := p.await(ctx, maxPending-1); err != nil {
		return err
	}
	p.mu.Lock()
	p.last++
	id := p.last
	msg := &nats.Msg{Subject: subject, Reply: p.inbox + strconv.FormatUint(id, 36), Data: bytes.Clone(data),
		Header: nats.Header{nats.MsgIdHdr: {p.inbox + strconv.FormatUint(id, 36)}}}
	p.pending[id] = &publication{msg: msg, at: time.Now()}
	p.mu.Unlock()
	if err := p.nc.PublishMsg(msg); err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	return nil
}

// acked takes an acknowledgement, on the subscription's goroutine.
func (p *publisher) acked(m *nats.Msg) {
	id, err := strconv.ParseUint(m.Subject[len(p.inbox):], 36, 64)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.pending[id]
	switch {
	case waiting == nil:
		return
	case len(m.Data) == 0: // nobody listens: no stream has the subject, or it has no leader just now
		if time.Since(waiting.at) < giveUp {
			time.AfterFunc(time.Second, func() { p.again(id) })
			return
		}
		p.err = fmt.Errorf("publish on %s: no stream stores it (durable: false, or another prefix?)", waiting.msg.Subject)
	case bytes.Contains(m.Data, []byte(`"error":`)):
		p.err = fmt.Errorf("publish on %s: the stream answered %.200s", waiting.msg.Subject, m.Data)
	}
	delete(p.pending, id)
	close(p.room)
	p.room = make(chan struct{})
}

// again publishes what was not acknowledged once more, with the same id.
func (p *publisher) again(id uint64) {
	p.mu.Lock()
	waiting := p.pending[id]
	p.mu.Unlock()
	if waiting != nil {
		_ = p.nc.PublishMsg(waiting.msg) // what fails now is tried again
	}
}

// await waits until at most so many are not acknowledged.
func (p *publisher) await(ctx context.Context, most int) error {
	var timer *time.Timer
	for waited := time.Duration(0); ; {
		p.mu.Lock()
		n, err, room := len(p.pending), p.err, p.room
		p.mu.Unlock()
		if err != nil || n <= most {
			return err
		}
		if timer == nil {
			timer = time.NewTimer(ackWithin)
			defer timer.Stop()
		}
		select {
		case <-room:
			waited = 0
		case <-timer.C:
			if waited += ackWithin; waited >= giveUp {
				return fmt.Errorf("NATS has acknowledged nothing for %v, %d publications wait", giveUp, n)
			}
			p.republish()
			timer.Reset(ackWithin)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *publisher) republish() {
	p.mu.Lock()
	var late []uint64
	for id, one := range p.pending {
		if time.Since(one.at) > ackWithin {
			late = append(late, id)
		}
	}
	p.mu.Unlock()
	for _, id := range late {
		p.again(id)
	}
}

// settle waits until everything is where it was sent.
func (p *publisher) settle(ctx context.Context) error {
	if p.durable {
		return p.await(ctx, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	if err := p.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("wait until NATS has everything: %w", err)
	}
	return nil
}
