package journal

import (
	"fmt"
	"slices"

	"belfry/internal/bus"
	"belfry/internal/hub"
	"belfry/internal/position"
)

// Where a client starts, as in Query.Start.
const (
	startCursor = "cursor"
	startNow    = "now"
	startAll    = "all"
)

// A resolution turns one query into a start, one stream after the other. It
// waits for nothing: each step is called when what it needs is there.
type resolution struct {
	j        *Journal
	q        hub.Query
	position position.Position
	from     position.Position // as Query.From, of every stream
	list     []*sequencer      // of the streams still to come
	start    hub.Start
	done     func(hub.Start)
}

// Resolve is hub.History's. Nearly always it is done at once, from what is
// known here; where the client's place can't be judged by that, the stream's
// leader is asked, once for all who ask at the same time.
func (j *Journal) Resolve(q hub.Query, done func(hub.Start)) {
	r := &resolution{j: j, q: q, from: q.From, done: done}
	for _, s := range j.sequencers {
		if slices.ContainsFunc(q.Channels, func(c string) bool { return position.Of(c) == s.id }) {
			r.list = append(r.list, s)
			if end := s.look().end(); r.from.Get(s.id).Epoch != end.Epoch {
				r.from = r.from.With(s.id, end)
			}
		}
	}
	if !j.started.Load() {
		r.fail(fmt.Errorf("%w: the streams are not read yet", bus.ErrUnavailable))
		return
	}
	if q.HasPosition {
		p, err := position.Parse(q.Position)
		if err != nil && len(r.list) > 0 {
			r.reset(r.list[0], hub.ResetMalformed)
		}
		r.position = p
	}
	r.next()
}

// next settles the next stream.
func (r *resolution) next() {
	if len(r.list) == 0 {
		r.done(r.start)
		return
	}
	s := r.list[0]
	mark := r.position.Get(s.id)
	switch {
	case mark.Epoch != "":
		r.judge(s, mark, func(m position.Mark, why hub.ResetReason) {
			if why != "" {
				r.reset(s, why)
			}
			r.at(s, m, why == "")
		})
	case r.how(s) == startCursor:
		r.fromCursor(s)
	case r.how(s) == startAll:
		r.at(s, s.look().begin(), false)
	default:
		r.at(s, r.from.Get(s.id), false)
	}
}

// how settles where a client starts in a stream of which it has no position.
func (r *resolution) how(s *sequencer) string {
	start, own := r.q.Start, s.id == position.Notifications && slices.Contains(r.q.Channels, r.own())
	switch {
	case own && start == "":
		return r.j.o.Replay.Start
	case !own && start != startNow && start != startAll: // a cursor is of the personal channel only
		return r.j.o.Replay.StartChannels
	}
	return start
}

// own is the connection's own personal channel.
func (r *resolution) own() string { return "#" + r.q.User }

func (r *resolution) fail(err error) {
	if r.start.Cursor != nil {
		r.start.Cursor.Break() // the client comes back
	}
	r.done(hub.Start{Err: err})
}

func (r *resolution) reset(s *sequencer, why hub.ResetReason) {
	r.j.resets[why].Add(1)
	r.start.Resets = append(r.start.Resets, hub.Reset{Stream: s.id, Why: why})
}

// at settles a stream. brought is set where it is the client itself that said
// so, and what it has received is thereby confirmed.
func (r *resolution) at(s *sequencer, m position.Mark, brought bool) {
	r.start.At = r.start.At.With(s.id, m)
	r.list = r.list[1:]
	if s.id != position.Notifications || !slices.Contains(r.q.Channels, r.own()) {
		r.next()
		return
	}
	if c := r.start.Cursor; c != nil {
		begin(c, m, brought)
	}
	if r.start.Cursor != nil || !r.q.Confirms {
		r.next()
		return
	}
	r.j.open(r.q.User, r.q.Device, m, false, func(_ uint64, _ bool, _ string, c hub.Cursor, err error) {
		// A cursor that can't be had now costs this connection's confirmations,
		// not its publications.
		if err == nil {
			r.start.Cursor = c
			begin(c, m, brought)
		}
		r.next()
	})
}

// begin tells a cursor where its connection goes on.
func begin(c hub.Cursor, m position.Mark, brought bool) {
	if r, ok := c.(interface{ Reset(position.Mark) }); ok {
		r.Reset(m)
	}
	if brought {
		c.Confirm(m.Seq)
	}
}

// judge tells whether a client's mark can be served, and where the client goes
// on if not: from what there is.
func (r *resolution) judge(s *sequencer, m position.Mark, then func(m position.Mark, why hub.ResetReason)) {
	v := s.look()
	if m.Epoch == v.epoch {
		switch {
		case m.Seq < v.first-1: // it only ever grows
			then(v.begin(), hub.ResetExpired)
			return
		case m.Seq <= v.watermark && m.Seq >= s.ring.low():
			then(m, "")
			return
		}
	}
	// Another epoch may be one that this gateway has not seen yet, a sequence
	// above the watermark one that it has not read yet, and what the ring does
	// not reach may have expired since the last check.
	s.fresh(func(v view, err error) {
		switch {
		case err != nil:
			r.fail(fmt.Errorf("look at stream %s: %w", s.name, err))
		case m.Epoch != v.epoch:
			then(v.begin(), hub.ResetEpoch)
		case m.Seq > v.last:
			then(v.begin(), hub.ResetAhead)
		case m.Seq < v.first-1:
			then(v.begin(), hub.ResetExpired)
		default:
			then(m, "")
		}
	})
}

// fromCursor starts behind what is known to have been delivered. The first time
// there is no such record, and after a reset it is worth nothing: then what is
// retained is replayed, at most the newest replay.max, to a client that may well
// have it.
func (r *resolution) fromCursor(s *sequencer) {
	r.j.open(r.q.User, r.q.Device, r.from.Get(s.id), r.q.Tickets, func(seq uint64, found bool, epoch string, c hub.Cursor, err error) {
		if err != nil {
			r.fail(fmt.Errorf("look up the delivered cursor: %w", err))
			return
		}
		if r.q.Confirms {
			r.start.Cursor = c
		} else if c != nil {
			c.Close()
		}
		if !found {
			r.newest(s)
			return
		}
		r.judge(s, position.Mark{Epoch: epoch, Seq: seq}, func(m position.Mark, why hub.ResetReason) {
			switch from := r.from.Get(s.id); {
			case why == "" && m.Epoch != from.Epoch: // another gateway has seen it before this one: asked anew, it knows
				r.start.Cursor = nil
				r.from = r.from.With(s.id, m)
				r.fromCursor(s)
				if r.q.Confirms {
					c.Close() // behind it, so that there always is one
				}
			case why == "":
				r.start.At = r.start.At.With(s.id, m)
				r.list = r.list[1:]
				r.next()
			case why == hub.ResetExpired: // all of what is left was not delivered
				r.reset(s, why)
				r.at(s, m, false)
			default:
				r.reset(s, why)
				r.newest(s)
			}
		})
	})
}

func (r *resolution) newest(s *sequencer) {
	r.j.newest(s, r.own(), r.j.replayMax, func(after position.Mark, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		if from := r.from.Get(s.id); after.Epoch == from.Epoch {
			after.Seq = min(after.Seq, from.Seq)
		}
		r.at(s, after, false)
	})
}
