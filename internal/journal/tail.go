package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

func parseSeq(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

// A poll reads what the stream has above a sequence. It is the truth; the
// consumer is only faster.
type poll struct {
	history uint64
	after   uint64
}

type polled struct {
	poll
	msgs []message
	more bool
	err  error
}

// poll has the stream read from the last sequence taken on, now or as soon as
// the poll that is under way is back.
func (s *sequencer) poll() {
	if s.polling {
		s.again = true
		return
	}
	s.polling, s.again = true, false
	s.stats.polls.Add(1)
	s.polls <- poll{s.history, s.at}
}

// read is the goroutine that waits for polls.
func (s *sequencer) read(ctx context.Context) {
	for {
		select {
		case p := <-s.polls:
			msgs, more, err := s.fetch.after(ctx, s.name, p.after, pollBatch)
			select {
			case s.polled <- polled{p, msgs, more, err}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *sequencer) onPolled(p polled) {
	s.polling = false
	if p.history != s.history {
		s.poll()
		return
	}
	s.quiet("poll", p.err)
	if s.takeAll(p.msgs) {
		s.stats.pulled.Add(1)
	}
	more := p.more && p.err == nil && len(p.msgs) > 0
	if s.held != nil {
		s.release(more || len(p.msgs) > 0 && p.err == nil)
	}
	if more || s.again || s.held != nil {
		s.poll()
	}
}

// takeAll applies what was read: between two messages of one answer there is
// nothing in the stream.
func (s *sequencer) takeAll(msgs []message) bool {
	if len(msgs) > 0 && msgs[len(msgs)-1].seq > s.at {
		s.seam()
	}
	for i := range msgs {
		if m := &msgs[i]; m.seq > s.at {
			s.take(m)
		}
	}
	return s.apply()
}

// release offers the held message again. Where the hole before it could not be
// read, and more polls would not help, it is dropped: later ones bring it.
func (s *sequencer) release(progress bool) {
	m := s.held
	s.held = nil
	s.offer(m) // holds it again if the hole is still there
	s.apply()
	if s.held != nil && !progress {
		s.held, s.again, s.resting = nil, false, true
	}
}

// fillEntries is how many of the newest messages a start reads into the ring, which
// then grows with what comes. A gateway is not ready before, and each takes it 10 to
// 20 µs: so a start takes as long however much is stored. What is older is read from
// the stream for those who come with so old a position (ADR 0015).
const fillEntries = 16 << 10

// fill reads the newest messages of the stream into the ring, up to what the
// leader has now: it is called before run. It may be called again after an
// error.
func (s *sequencer) fill(ctx context.Context) error {
	st, err := s.standing(ctx)
	if err != nil {
		return err
	}
	v := view{epoch: st.epoch, first: st.first, last: st.last}
	after := v.first - 1
	if v.last > fillEntries {
		after = max(after, v.last-fillEntries)
	}
	s.ring.reset(v.epoch, after)
	s.at = after
	s.setView(v)
	for s.at < v.last {
		if err := s.fillMore(ctx, v.last); err != nil {
			return fmt.Errorf("fill the ring from stream %s: %w", s.name, err)
		}
	}
	s.ring.apply(nil, s.at)
	s.applied, s.trusted = s.at, s.at
	s.setWatermark()
	return nil
}

// fillMore reads a part. Where a replica has nothing more the leader is asked:
// the end may have been deleted, or have expired.
func (s *sequencer) fillMore(ctx context.Context, last uint64) error {
	msgs, _, err := s.fetch.after(ctx, s.name, s.at, pollBatch)
	if err != nil {
		return err
	}
	for i := range msgs {
		if m := &msgs[i]; m.seq > s.at {
			s.take(m)
		}
	}
	s.ring.apply(s.entries, s.at)
	clear(s.entries)
	s.entries, s.batch = s.entries[:0], s.batch[:0]
	if len(msgs) > 0 {
		return nil
	}
	_, err = s.fetch.leaderAfter(ctx, s.name, s.at)
	if errors.Is(err, errGone) {
		s.at = last
		return nil
	}
	if err != nil {
		return err
	}
	select { // the replica that answered is behind
	case <-time.After(50 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
