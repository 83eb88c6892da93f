// Package journal is the streams: what is published durably comes from here,
// each sequence once and in order, and is read again from here by a client that
// comes back.
//
// Per stream there is a sequencer. It reads the stream by a consumer, which is
// quick, and by direct gets of its tail, which are the truth: a consumer may
// fall silent, lose messages, or go away. What it takes goes into a ring, the
// newest publications in memory, and on to the hub. All of it is read by every
// gateway, whether somebody here wants it or not.
//
// A place in a stream is an epoch and a sequence. The epoch changes when the
// stream is made anew, or when its history is found to be another one than
// before (a copy was restored, a machine lost what it had acknowledged): then
// the same sequences stand for other messages, and clients are told to reset.
//
// Order of calls: New, then Start until it succeeds, with the streams there
// (bus.EnsureStreams); Hub.SetHistory in between. Connections are accepted after
// that. Then Flush, when they have been closed, and Close, before the bus is
// closed; after the bus was closed without an error, Settled.
//
// Goroutines, each stream's from Start to Close:
//
//   - sequencer.run owns the watermark, the consumer, writing the ring, and the
//     calls of the hub. It waits for no answer of NATS's; it does wait for the
//     hub, whose workers may be behind.
//   - sequencer.read waits for the tail poll that is under way.
//   - sequencer.watch waits for the check of the epoch that is under way.
//
// Deep reads have goroutines of their own while they run (deepReader), Cursors
// have one that writes.
//
// Lock order: a hub shard's lock, then the ring's. sequencer.mu and the ring's
// are leaves; none is held while the hub is called.
package journal

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
)

// A Hub takes what the streams bring. hub.Hub is one. All calls for one stream
// come one after the other.
type Hub interface {
	// Publish takes the next publications of a stream. It does not keep batch.
	Publish(batch []hub.Publication)
	// Advance says that the stream has nothing to publish up to a mark.
	Advance(stream position.Stream, to position.Mark)
	// Reset says that the stream goes on in another epoch, behind a mark. Whoever
	// stands at or below its sequence has seen the same as is there now: he can go
	// on from where he stands, whoever stands above goes on from the mark.
	Reset(stream position.Stream, now position.Mark, why hub.ResetReason)
}

// opener is Cursors.Open.
type opener func(user, device string, from position.Mark, tickets bool, done func(seq uint64, found bool, epoch string, c hub.Cursor, err error))

// A Journal is one gateway's reading of the streams. It is a hub.History.
type Journal struct {
	*Publisher
	bus        *bus.Bus
	o          config.Options
	log        *slog.Logger
	fetch      *fetcher
	deep       *deepReader
	cursors    *Cursors
	open       opener
	sequencers []*sequencer
	searches   line
	replayMax  int
	probe      prober
	resets     map[hub.ResetReason]*atomic.Uint64 // told to clients that came; never changes

	starting sync.Mutex // one Start at a time
	settled  bool       // the marker of the boot has been seen to
	ready    int        // sequencers that run
	started  atomic.Bool

	ctx   context.Context // ends with Close
	stop  context.CancelCauseFunc
	group sync.WaitGroup
}

var _ hub.History = (*Journal)(nil)

// New makes a journal of the streams of b's names. It reads nothing yet.
func New(b *bus.Bus, h Hub, o config.Options, log *slog.Logger) (*Journal, error) {
	return newJournal(b, h, o, log, usual, sources(b.Names()))
}

func newJournal(b *bus.Bus, h Hub, o config.Options, log *slog.Logger, p pace, all []source) (*Journal, error) {
	api := apiPrefix(o.NATS.Domain)
	f, err := newFetcher(b.Conn(), api)
	if err != nil {
		return nil, err
	}
	j := &Journal{bus: b, o: o, log: log, fetch: f, replayMax: o.Replay.Max, resets: map[hub.ResetReason]*atomic.Uint64{}}
	j.ctx, j.stop = context.WithCancelCause(context.Background())
	for _, why := range hub.ResetReasons() {
		j.resets[why] = new(atomic.Uint64)
	}
	for _, src := range all {
		r := newRing(src.id, ringEntries, ringBytes)
		r.date = f.date
		j.sequencers = append(j.sequencers, newSequencer(src, b, api, h, f, r, log, p))
	}
	j.Publisher = &Publisher{b, all, j.epochOf}
	j.deep = newDeepReader(b, o, log)
	j.cursors = newCursors(b, b.Names(), o, log, f.date)
	j.cursors.quiet = j.nothingSince
	if s := j.sequencer(position.Notifications); s != nil {
		s.follows = j.cursors.follows
		j.cursors.present = func(done func(string, error)) { s.fresh(func(v view, err error) { done(v.epoch, err) }) }
	}
	j.open = j.cursors.Open
	b.OnReconnect(j.back)
	return j, nil
}

// Start reads each stream's newest publications into memory, up to what its
// leader has, and then begins to follow them. It may be called again after an
// error; what has been started goes on. An error that wraps bus.ErrMisconfigured
// stays until somebody changes something.
func (j *Journal) Start(ctx context.Context) error {
	j.starting.Lock()
	defer j.starting.Unlock()
	if err := j.cursors.Ensure(ctx); err != nil {
		return err
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	for ; j.ready < len(j.sequencers); j.ready++ {
		if err := context.Cause(j.ctx); err != nil {
			return err
		}
		s := j.sequencers[j.ready]
		if err := s.fill(ctx); err != nil {
			return err
		}
		v := s.look()
		s.hub.Advance(s.id, position.Mark{Epoch: v.epoch, Seq: v.watermark})
		j.group.Go(func() { s.run(j.ctx) })
		j.group.Go(func() { s.read(j.ctx) })
		j.group.Go(func() { s.watch(j.ctx) })
	}
	j.started.Store(true)
	return nil
}

// Flush writes the delivered cursors: when connections were closed, before
// Close. One that was still asked for when its connection closed comes first: it
// may take a ticket, which is to be left again. It is waited for, a second at most.
func (j *Journal) Flush(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	j.cursors.vacated(soon)
	return j.cursors.Flush(ctx)
}

// Close ends all goroutines and returns when they are gone. The hub is not
// called any more then. It may be called twice.
func (j *Journal) Close() {
	j.started.Store(false)
	j.stop(errClosed)
	j.deep.close()
	j.group.Wait()
	for _, s := range j.sequencers {
		s.finish()
	}
	j.cursors.Close()
	j.fetch.close()
}

// back is called when NATS is there again.
func (j *Journal) back() {
	j.fetch.lost()
	for _, s := range j.sequencers {
		select {
		case s.back <- struct{}{}:
		default:
		}
	}
}

func (j *Journal) sequencer(stream position.Stream) *sequencer {
	for _, s := range j.sequencers {
		if s.id == stream {
			return s
		}
	}
	return nil
}

// Recent is hub.History's.
func (j *Journal) Recent(stream position.Stream, channels []string, after, until uint64, maxBytes int) ([]hub.Publication, uint64, bool) {
	return j.sequencer(stream).ring.recent(channels, after, until, maxBytes)
}

// First is hub.History's.
func (j *Journal) First(stream position.Stream) position.Mark {
	v := j.sequencer(stream).look()
	return position.Mark{Epoch: v.epoch, Seq: v.first}
}

// Older is hub.History's.
func (j *Journal) Older(ctx context.Context, stream position.Stream, channels []string, after uint64, maxBytes int, done func([]hub.Publication, uint64, error)) {
	s := j.sequencer(stream)
	q := deepQuery{stream: s.name, ring: s.ring, after: after, maxBytes: maxBytes}
	for _, channel := range channels {
		subj, err := s.subject(channel)
		if err != nil {
			continue // nothing can have been published on it
		}
		q.channels, q.subjects = append(q.channels, channel), append(q.subjects, subj)
	}
	j.deep.read(ctx, q, done)
}

// nothingSince is up to where a channel has nothing above a sequence, as far as
// the ring can tell.
func (j *Journal) nothingSince(channel string, after uint64) (position.Mark, bool) {
	s := j.sequencer(position.Of(channel))
	if s == nil {
		return position.Mark{}, false
	}
	v := s.look()
	batch, next, ok := s.ring.recent([]string{channel}, after, v.watermark, 1)
	if !ok || len(batch) > 0 || next < v.watermark || s.look().epoch != v.epoch {
		return position.Mark{}, false
	}
	return position.Mark{Epoch: v.epoch, Seq: v.watermark}, true
}

// epochOf is a stream's present epoch, for a Publisher.
func (j *Journal) epochOf(ctx context.Context, src source) (string, error) {
	if s := j.sequencer(src.id); s != nil {
		if v := s.look(); v.epoch != "" {
			return v.epoch, nil
		}
	}
	epoch, err := Epoch(ctx, j.bus, src.name)
	if err != nil {
		return "", fmt.Errorf("ask for the epoch of stream %s: %w", src.name, err)
	}
	return epoch, nil
}
