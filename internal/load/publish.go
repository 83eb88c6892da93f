package load

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/load/payload"
	"belfry/internal/load/wire"
)

// A publisher publishes a run's payloads, over a connection of its own.
//
// What is published leaves when 16 KB have come together, or whoever publishes
// calls flush because it is about to wait. Durable publications are JetStream's
// by hand: a reply subject each below one subscription, and a ring of what is
// not acknowledged.
type publisher struct {
	durable bool
	inbox   []byte // what the subjects of acknowledgements begin with

	mu      sync.Mutex // guards the following; only awake contends for it
	conn    *wire.Conn
	writer  *payload.Writer
	pending [maxPending]publication // by id, those from oldest to last
	oldest  uint64                  // the first that is not acknowledged; last + 1 where all are
	last    uint64
	acks    uint64  // that came
	retries []retry // in the order of their times
	err     error   // what no retry mends
	id      []byte  // room for one

	done, ended chan struct{} // of awake
}

// A publication waits for its acknowledgement. Its payload is made again where
// it has to go out again.
type publication struct {
	subject string
	message payload.Message
	at      time.Time // when it was first published
	waits   bool
}

// A retry is a publication that goes out again.
type retry struct {
	id uint64
	at time.Time
}

const (
	maxPending = 2048
	ackWithin  = 5 * time.Second // then again, with the same id
	retryAfter = time.Second     // where no stream listens
	giveUp     = 30 * time.Second
	lookWithin = 100 * time.Millisecond // at ctx and at retries
	awakeEvery = 30 * time.Second       // more often than a server asks for life
)

// newPublisher makes one that publishes where nc is connected.
func newPublisher(nc *nats.Conn, seed string, size int, durable bool) (*publisher, error) {
	w, err := payload.NewWriter(seed, size)
	if err != nil {
		return nil, err
	}
	c, err := wire.Dial(nc)
	if err != nil {
		return nil, err
	}
	p := &publisher{conn: c, writer: w, durable: durable, oldest: 1, done: make(chan struct{}), ended: make(chan struct{})}
	if durable {
		p.inbox = []byte(nc.NewInbox() + ".")
		c.Subscribe(string(p.inbox)+"*", p.acked)
	}
	go p.awake()
	return p, nil
}

// awake reads what the server asks while nobody publishes.
func (p *publisher) awake() {
	defer close(p.ended)
	for t := time.NewTicker(awakeEvery); ; {
		select {
		case <-t.C:
			_ = p.flush() // who publishes next is told
		case <-p.done:
			t.Stop()
			return
		}
	}
}

func (p *publisher) close() {
	close(p.done)
	<-p.ended
	p.conn.Close()
}

// publish publishes, and waits while too much is not acknowledged. What it has
// published may not have left before the next flush.
func (p *publisher) publish(ctx context.Context, subject string, m payload.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.durable {
		return p.conn.Publish(subject, p.writer.Make(m))
	}
	if p.err != nil {
		return p.err
	}
	if p.waiting() == maxPending {
		if err := p.await(ctx, maxPending*3/4); err != nil { // not for a single one: they go out together
			return err
		}
	}
	p.last++
	p.pending[p.last%maxPending] = publication{subject: subject, message: m, at: time.Now(), waits: true}
	return p.send(p.last)
}

// send publishes a pending one, again too.
func (p *publisher) send(id uint64) error {
	one := &p.pending[id%maxPending]
	p.id = strconv.AppendUint(append(p.id[:0], p.inbox...), id, 36)
	return p.conn.PublishOnce(one.subject, p.id, p.writer.Make(one.message))
}

// flush sends what has been published, and takes what has been acknowledged.
func (p *publisher) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conn.Flush(); err != nil {
		return err
	}
	if err := p.retry(); err != nil {
		return err
	}
	return p.err
}

// waiting is how many there are from the oldest that is not acknowledged on.
func (p *publisher) waiting() int { return int(p.last + 1 - p.oldest) }

// acked takes an acknowledgement. It is called where conn reads.
func (p *publisher) acked(subject, data []byte) {
	id, err := strconv.ParseUint(string(subject[len(p.inbox):]), 36, 64)
	if err != nil || id < p.oldest || id > p.last || !p.pending[id%maxPending].waits {
		return
	}
	one := &p.pending[id%maxPending]
	switch {
	case len(data) == 0: // nobody listens: no stream has the subject, or it has no leader just now
		if time.Since(one.at) < giveUp {
			p.retries = append(p.retries, retry{id, time.Now().Add(retryAfter)})
			return
		}
		p.err = fmt.Errorf("publish on %s: no stream stores it (durable: false, or another prefix?)", one.subject)
	case bytes.Contains(data, []byte(`"error":`)):
		p.err = fmt.Errorf("publish on %s: the stream answered %.200s", one.subject, data)
	}
	p.acks++
	one.waits = false
	for p.oldest <= p.last && !p.pending[p.oldest%maxPending].waits {
		p.oldest++
	}
}

// retry publishes again what is due for it.
func (p *publisher) retry() error {
	for len(p.retries) > 0 && !time.Now().Before(p.retries[0].at) {
		id := p.retries[0].id
		p.retries = p.retries[1:]
		if id >= p.oldest && p.pending[id%maxPending].waits {
			if err := p.send(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until at most so many wait for an acknowledgement.
func (p *publisher) await(ctx context.Context, most int) error {
	for acks, heard, looked := p.acks, time.Now(), time.Now(); p.err == nil && p.waiting() > most; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.conn.Wait(lookWithin); err != nil {
			return err
		}
		now := time.Now()
		if p.acks != acks {
			acks, heard = p.acks, now
		}
		if now.Sub(heard) >= giveUp {
			return fmt.Errorf("NATS has acknowledged nothing for %v, %d publications wait", giveUp, p.waiting())
		}
		if now.Sub(looked) >= ackWithin {
			looked = now
			p.late(now)
		}
		if err := p.retry(); err != nil {
			return err
		}
	}
	return p.err
}

// late has go out again what has waited too long.
func (p *publisher) late(now time.Time) {
	p.retries = p.retries[:0]
	for id := p.oldest; id <= p.last; id++ {
		if one := &p.pending[id%maxPending]; one.waits && now.Sub(one.at) > ackWithin {
			p.retries = append(p.retries, retry{id, now})
		}
	}
}

// settle waits until everything is where it was sent.
func (p *publisher) settle(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.durable {
		return p.await(ctx, 0)
	}
	return p.conn.Sync(ctx, giveUp)
}
