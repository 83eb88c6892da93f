package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A question is what a check is to find out: whether the stream is still the
// one whose history we know.
type question struct {
	epoch    string
	at       uint64 // the last sequence applied
	trusted  uint64 // the last one that is known to be of that history
	sure     bool   // that the leader has less than we applied has been so for long
	owed     bool   // the epoch is to be rotated
	anchors  []known
	seams    []uint64
	consumer uint64 // the number of the feed's consumer if it is up, else 0
	waiting  []func(view, error)
}

// A verdict is the answer.
type verdict struct {
	question
	now    standing
	oldest int64 // when the first message was stored
	err    error // nothing else is set

	doubt bool // the leader has less than we applied: it may be new to it
	empty bool // there is nothing above at, though last may be higher

	// reset: the history is another one. It has in common with the one we know
	// what is up to shared.
	reset  bool
	shared uint64
	unfit  error // the epoch could not be rotated
}

// check has the stream compared with what we know of it, now or as soon as the
// check under way is back.
func (s *sequencer) check() {
	if s.checking {
		s.recheck = true
		return
	}
	s.checking, s.recheck = true, false
	s.asked = len(s.seams)
	q := question{epoch: s.view.epoch, at: s.applied, trusted: s.trusted, owed: s.owed, anchors: slices.Clone(s.anchors), seams: slices.Clone(s.seams)}
	q.sure = !s.doubt.IsZero() && time.Since(s.doubt) >= s.pace.settle
	if s.feed.up {
		q.consumer = s.feed.number
	}
	s.mu.Lock()
	q.waiting, s.waiting = s.waiting, nil
	s.mu.Unlock()
	s.checks <- q
}

// watch is the goroutine that does the checks.
func (s *sequencer) watch(ctx context.Context) {
	for {
		select {
		case q := <-s.checks:
			v := s.judge(ctx, q)
			select {
			case s.verdicts <- v:
			case <-ctx.Done():
				abandon(q.waiting)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *sequencer) judge(ctx context.Context, q question) verdict {
	v := verdict{question: q}
	if v.now, v.err = s.standing(ctx); v.err != nil {
		return v
	}
	switch {
	case v.now.epoch != q.epoch && wentBack(v.now, q.epoch): // a copy from before it was made anew, or rotated
		return s.disown(ctx, v)
	case v.now.epoch != q.epoch:
		return s.compare(ctx, v)
	}
	if v.now.last < q.at {
		if !q.sure {
			v.doubt = true
			return v
		}
		return s.disown(ctx, v)
	}
	same, err := true, error(nil)
	for _, upTo := range append([]uint64{q.trusted, q.at}, q.seams...) {
		if same && err == nil {
			same, err = s.same(ctx, q, upTo)
		}
	}
	switch {
	case q.owed:
		return s.disown(ctx, v)
	case err != nil:
		v.err = err
		return v
	case !same:
		return s.disown(ctx, v)
	}
	first, err := s.fetch.leaderAfter(ctx, s.name, v.now.first-1)
	if err == nil {
		v.oldest = first.time
	}
	if v.now.last > q.at {
		_, err := s.fetch.leaderAfter(ctx, s.name, q.at)
		v.empty = errors.Is(err, errGone)
	}
	return v
}

// disown rotates the epoch of a stream that has another history than the one we
// know, by its sequences, and the same creation time.
func (s *sequencer) disown(ctx context.Context, v verdict) verdict {
	now, err := s.rotate(ctx, v.now.epoch)
	if err != nil {
		v.unfit = fmt.Errorf("the stream has another history than before, as from a copy, and its epoch could not be rotated: run belfry epoch rotate, or give this NATS user the right to $JS.API.STREAM.UPDATE: %w", err)
	} else {
		v.now = now
	}
	return s.compare(ctx, v)
}

func (s *sequencer) compare(ctx context.Context, v verdict) verdict {
	v.reset = true
	v.shared, v.err = s.shared(ctx, v.question, v.now)
	return v
}

// onVerdict is what the sequencer does about it.
func (s *sequencer) onVerdict(v verdict) {
	s.checking = false
	s.due = time.Now().Add(s.pace.check)
	s.quiet("check", v.err)
	if v.err == nil {
		s.stats.checks.Add(1)
	}
	switch {
	case v.err != nil:
	case v.reset:
		s.quiet("rotation", v.unfit)
		s.owed = v.unfit != nil
		if v.now.epoch != v.epoch || v.shared != s.at {
			s.startOver(v)
		}
	case v.doubt:
		if s.doubt.IsZero() {
			s.doubt = time.Now()
		}
	default:
		s.agree(v)
	}
	s.asked = 0
	look := s.view
	for _, done := range v.waiting {
		done(look, v.err)
	}
	s.mu.Lock()
	more := len(s.waiting) > 0
	s.mu.Unlock()
	if s.recheck || more {
		s.check()
	}
}

// agree takes over what a check found of the stream that we know.
func (s *sequencer) agree(v verdict) {
	s.doubt = time.Time{}
	s.seams = slices.Delete(s.seams, 0, s.asked)
	if s.feed.up && v.consumer == s.feed.number {
		s.verified, s.trusted = true, max(s.trusted, v.at)
	}
	s.mu.Lock()
	s.view.first, s.view.last = v.now.first, max(v.now.last, s.at)
	s.view.oldest = v.oldest
	s.mu.Unlock()
	s.ring.expire(v.now.first)
	if v.empty && v.at == s.at { // what was there is gone
		s.at = v.now.last
		s.apply()
	}
}

// startOver goes on in another history, behind what it has in common with the
// one that we knew.
func (s *sequencer) startOver(v verdict) {
	s.log.Warn("the stream is not the one it was: clients are told to reset", "reason", hub.ResetEpoch,
		"epoch", v.now.epoch, "before", s.view.epoch, "had", s.at, "last", v.now.last, "shared", v.shared)
	s.stats.resets.Add(1)
	s.history++
	s.held, s.doubt, s.verified, s.again = nil, time.Time{}, false, false
	s.seams, s.asked = nil, 0
	m := position.Mark{Epoch: v.now.epoch, Seq: v.shared}
	if s.follows != nil && m.Epoch != s.view.epoch { // it could not be rotated
		s.follows(s.view.epoch, m)
	}
	s.hub.Reset(s.id, m, hub.ResetEpoch)
	s.ring.reset(v.now.epoch, v.shared)
	s.at, s.applied, s.trusted, s.vouched = v.shared, v.shared, v.shared, 0
	s.anchors = slices.DeleteFunc(s.anchors, func(k known) bool { return k.seq > v.shared })
	s.oldest = 0
	s.setView(view{epoch: v.now.epoch, watermark: v.shared, first: v.now.first, last: max(v.now.last, v.shared), oldest: v.oldest})
	s.openFeed()
	s.poll()
	s.recheck = true // the consumer's creation would do so too, if it succeeds
}

// fresh calls f with what a check that begins now finds.
func (s *sequencer) fresh(f func(view, error)) {
	s.mu.Lock()
	over := s.over
	if !over {
		s.waiting = append(s.waiting, f)
	}
	s.mu.Unlock()
	if over {
		abandon([]func(view, error){f})
		return
	}
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// finish fails those who still wait, and those who come later. It is called when
// the goroutines have ended.
func (s *sequencer) finish() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting, s.over = nil, true
	s.mu.Unlock()
	select {
	case q := <-s.checks:
		waiting = append(waiting, q.waiting...)
	default:
	}
	select {
	case v := <-s.verdicts:
		waiting = append(waiting, v.waiting...)
	default:
	}
	abandon(waiting)
}

func abandon(waiting []func(view, error)) {
	for _, f := range waiting {
		f(view{}, errClosed)
	}
}
