package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
	"belfry/internal/hub"
	"belfry/internal/position"
)

const (
	// followEvery is how often a Follow looks for what is new.
	followEvery = 250 * time.Millisecond
	// followWithin bounds one look: who may not ask is not answered.
	followWithin = 10 * time.Second
)

// A Follow reads one channel from outside a gateway, straight from its stream:
// what a person wants to see who looks after it. It asks the stream's leader how
// far the stream is, four times a second, and reads what is new; it needs no
// consumer and leaves nothing behind.
type Follow struct {
	Channel string
	// Since is where to begin. Where it has no part for the channel's stream: All
	// is from the oldest that is retained, else only what is published from now on.
	Since position.Position
	All   bool

	// All are called from Run's goroutine, one after the other.

	// Started is called once, with where it begins.
	Started func(at position.Position)
	// Publication is called for each, in order; at is the place behind it.
	Publication func(at position.Position, payload []byte)
	// Reset is called where it can't go on from where it was, as a client is told;
	// it goes on from the oldest that is retained.
	Reset func(at position.Position, why hub.ResetReason)
	// Trouble is called when the stream can't be read for now, and with nil when it
	// can again.
	Trouble func(err error)
}

// A follower is a Follow that runs.
type follower struct {
	Follow
	fetch   *fetcher
	source  source
	subject string
	started bool
	at      position.Mark
}

// Run returns when ctx ends, with the place that it has reached, which is the
// zero Position where it has not begun, or with an error where the stream can't
// be read at all. domain is the JetStream domain.
func (f Follow) Run(ctx context.Context, b *bus.Bus, domain string) (position.Position, error) {
	src, subj, err := (&Publisher{sources: sources(b.Names())}).find(f.Channel)
	if err != nil {
		return position.Position{}, err
	}
	fetch, err := newFetcher(b.Conn(), apiPrefix(domain))
	if err != nil {
		return position.Position{}, err
	}
	defer fetch.close()
	b.OnReconnect(fetch.lost)
	r := &follower{Follow: f, fetch: fetch, source: src, subject: subj}
	err = r.run(ctx)
	return r.position(), err
}

func (r *follower) position() position.Position {
	return position.Position{}.With(r.source.id, r.at)
}

func (r *follower) run(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	troubled := false
	for {
		err := r.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !r.started:
			return err
		case (err != nil) != troubled:
			troubled = err != nil
			r.Trouble(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads up to where the stream's leader is now.
func (r *follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, followWithin, fmt.Errorf("%w within %v (a NATS user without the right to ask gets no answer either)", bus.ErrTimeout, followWithin))
	defer cancel()
	now, err := r.standing(ctx)
	if err != nil {
		return err
	}
	if !r.started {
		r.started = true
		r.begin(now)
		r.Started(r.position())
	}
	r.judge(now)
	for r.at.Seq < now.last {
		if err := r.read(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

func (r *follower) standing(ctx context.Context) (standing, error) {
	first, last, created, meta, err := r.fetch.state(ctx, r.source.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return standing{}, fmt.Errorf("%w: a gateway makes it when it first starts (has it another prefix?)", err)
	}
	return standing{epoch: epochOf(created, meta[EpochKey]), first: max(first, 1), last: last}, err
}

func (r *follower) begin(now standing) {
	switch since := r.Since.Get(r.source.id); {
	case since.Epoch != "":
		r.at = since
	case r.All:
		r.at = position.Mark{Epoch: now.epoch, Seq: now.first - 1}
	default:
		r.at = position.Mark{Epoch: now.epoch, Seq: now.last}
	}
}

// judge resets where the place can't be gone on from, by the rules for clients.
func (r *follower) judge(now standing) {
	var why hub.ResetReason
	switch {
	case r.at.Epoch != now.epoch:
		why = hub.ResetEpoch
	case r.at.Seq > now.last:
		why = hub.ResetAhead
	case now.first > 0 && r.at.Seq < now.first-1:
		why = hub.ResetExpired
	default:
		return
	}
	r.at = position.Mark{Epoch: now.epoch, Seq: now.first - 1}
	r.Reset(r.position(), why)
}

// errBehind says that a replica does not have yet what the leader has.
var errBehind = errors.New("a replica is behind the stream's leader")

// read hands out the next publications, or finds that there are none up to
// where the leader was.
func (r *follower) read(ctx context.Context, now standing) error {
	msgs, _, err := r.fetch.afterOf(ctx, r.source.name, r.subject, r.at.Seq, olderBatch, fetchBytes)
	if err != nil {
		return err
	}
	if len(msgs) == 0 {
		next, err := r.fetch.leaderNext(ctx, r.source.name, r.subject, r.at.Seq)
		if err == nil && next.seq <= now.last {
			return errBehind
		}
		if err == nil || errors.Is(err, errGone) {
			r.at.Seq, err = now.last, nil
		}
		return err
	}
	// A stream that was made anew meanwhile has other messages there.
	again, err := r.standing(ctx)
	if err != nil {
		return err
	}
	if again.epoch != now.epoch {
		return errEpoch
	}
	for _, m := range msgs {
		r.at.Seq = m.seq
		if !m.marker && (m.expires == 0 || m.expires > r.fetch.date.now()) {
			r.Publication(r.position(), m.data)
		}
	}
	return nil
}
