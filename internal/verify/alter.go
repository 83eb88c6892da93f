package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/position"
	"belfry/internal/verify/judge"
	"belfry/internal/verify/streams"
)

// alter changes a stream's history. Publishing stands still meanwhile, so that
// of each publication it is certain on which side of the change it is.
func (s *system) alter(ctx context.Context, f fault, p *press) error {
	id := position.All()[f.part]
	name := map[position.Stream]string{position.Notifications: s.names.Notifications(), position.Channels: s.names.Channels()}[id]
	stream := streams.Of(s.nc, name)
	c := judge.Change{Stream: id, Of: s.rec.era(id)}
	do := stream.Purge
	switch f.kind {
	case purgeStream:
		c.What = judge.Purged
	case recreateStream:
		c.What, do = judge.Recreated, stream.Recreate
	case restoreStream:
		c.What = judge.Restored
		older, err := s.copy(ctx, stream, name, &c, p)
		if err != nil {
			return err
		}
		do = func(ctx context.Context) error { return stream.Restore(ctx, older) }
		if !sleep(ctx, f.hold) { // published meanwhile, and to be lost
			return nil
		}
	}
	s.rec.count("fault: " + string(f.kind))
	if err := s.change(ctx, name, &c, do, p); err != nil {
		return fmt.Errorf("%s %s: %w", f.kind, name, err)
	}
	sleep(ctx, judge.Seen)
	return s.well(ctx)
}

func (s *system) copy(ctx context.Context, stream streams.Stream, name string, c *judge.Change, p *press) (streams.Copy, error) {
	p.still.Lock()
	defer p.still.Unlock()
	state, err := s.state(ctx, name)
	if err != nil {
		return streams.Copy{}, err
	}
	c.First, c.Last = state.FirstSeq, state.LastSeq
	s.rec.note("stream %s is copied, sequences %d to %d", name, c.First, c.Last)
	return stream.Copy(ctx)
}

func (s *system) change(ctx context.Context, name string, c *judge.Change, do func(context.Context) error, p *press) error {
	p.still.Lock()
	defer p.still.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	c.From = s.rec.now()
	if err := do(ctx); err != nil {
		return err
	}
	if s.cluster != nil {
		if _, err := s.cluster.WaitLeader(ctx, name); err != nil {
			return err
		}
	}
	state, err := s.state(ctx, name)
	if err != nil {
		return err
	}
	if c.What == judge.Purged {
		c.First = state.FirstSeq
	}
	c.To = s.rec.now()
	s.rec.changed(*c)
	s.rec.note("stream %s was %s: it has sequences %d to %d", name, c.What, state.FirstSeq, state.LastSeq)
	return nil
}

func (s *system) state(ctx context.Context, name string) (jetstream.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	js, err := jetstream.New(s.nc)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return stream.CachedInfo().State, nil
}
