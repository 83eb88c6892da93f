package hub

import (
	"context"
	"slices"
	"time"

	"belfry/internal/position"
)

// A catchup replays to one connection what its client missed, until it has
// caught up; then the connection goes live, with no gap and no duplicate at the
// seam.
//
// The replay is pulled by the socket: the next batch is read when the last one
// has gone out. What is published meanwhile is not queued for the connection:
// it is in the history. The seam is the shard's lock: under it everything up to
// the shard's marks has been offered and nothing beyond. What memory has up to
// there is handed to the worker, and the subscriptions are live from that
// moment.
//
// A client may be ahead of this gateway, by what another one gave it: then the
// catchup waits until the shard's marks have passed that.
type catchup struct {
	hub     *Hub
	conn    *Conn
	query   Query
	started func(Start)

	cursor Cursor // the start's
	// What follows is of the goroutine that has the turn.
	deep    bool // something had to be read from the stream
	written bool // something of the personal channel was

	// The shard's mu guards the following.
	phase    phase
	again    bool // something happened while it ran
	channels [position.Count][]string
	at       position.Position // up to here has been written
	resets   []Reset           // to be told, with at as it is
	cancel   context.CancelFunc
	start    *Start // resolved, and not begun
	read     *older // what Older brought, and not written
}

type older struct {
	stream position.Stream
	epoch  string
	after  uint64
	batch  []Publication
	next   uint64
	err    error
}

// A phase is what a catchup waits for.
type phase uint8

const (
	resolving phase = iota // History.Resolve
	inLine                 // its turn
	running                // nothing, it has the turn
	draining               // the client, to take what was written
	reading                // History.Older
	behind                 // this gateway, to reach what the client has seen
	pausing                // a moment, after an error
	ended                  // nothing, ever
)

const (
	// batchBytes is how much is read, written and waited for at a time. It is
	// also what a connection may lack to go live.
	batchBytes = 64 << 10
	// pause is how long a failed read is rested.
	pause = 500 * time.Millisecond
)

// Resume subscribes the connection to the query's channels, from where its
// client stood, and to what is live only on the live ones. started is called
// once, before anything of the channels is written, from any goroutine: with
// where that is, or with an error, and then nothing is subscribed. A channel is
// resumed once at a time. A connection that is detached before that is not told.
func (h *Hub) Resume(c *Conn, q Query, live []string, started func(Start)) {
	if h.history == nil {
		started(Start{})
		for _, channel := range append(slices.Clone(q.Channels), live...) {
			h.Subscribe(c, channel)
		}
		return
	}
	k := &catchup{hub: h, conn: c, query: q, started: started}
	s := c.shard
	s.mu.Lock()
	for _, channel := range q.Channels {
		if c.find(channel) == nil {
			s.subscribe(c, channel, k)
			i := position.Of(channel) - 1
			k.channels[i] = append(k.channels[i], channel)
		}
	}
	for _, channel := range live {
		if c.find(channel) == nil {
			s.subscribe(c, channel, nil)
		}
	}
	s.mu.Unlock()
	h.catchups.open.Add(1)
	h.history.Resolve(q, func(start Start) {
		s.mu.Lock()
		gone := k.phase == ended
		if !gone {
			k.start, k.at = &start, start.At
			k.wake(resolving)
			if start.Err == nil {
				k.catchEpoch()
			}
		}
		s.mu.Unlock()
		if gone {
			start.close()
		}
	})
}

// close gives back what a start holds that nobody is left to begin with.
func (s *Start) close() {
	if s.Cursor != nil {
		s.Cursor.Break() // the client comes back
	}
}

// Continue says that what waited for the client has gone out (Writer.Idle).
func (h *Hub) Continue(c *Conn) {
	if c.shard == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.catchup != nil {
			sub.catchup.wake(draining)
		}
	}
}

// Tell has frame written with where the connection stands, behind everything
// that is published up to there. It returns false, and does nothing, while the
// connection is being caught up with: where it stands is told then by what it
// is sent.
func (h *Hub) Tell(c *Conn, frame func(at position.Position) []byte) bool {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.catchup != nil {
			return false
		}
	}
	if c.subs != nil {
		s.hand(c, frame(s.marks), 0)
	}
	return true
}

// The following are called with the shard's mu held.

// wake gives k its next turn if it waits for what has happened.
func (k *catchup) wake(what phase) {
	switch k.phase {
	case what:
		k.phase = inLine
		k.hub.catchups.push(k)
	case running:
		k.again = true
	}
}

// drop takes a channel out: it was unsubscribed from. Without channels the
// catchup ends.
func (k *catchup) drop(channel string) {
	left := 0
	for i := range k.channels {
		// A new slice: a read may be using the old one.
		k.channels[i] = slices.DeleteFunc(slices.Clone(k.channels[i]), func(c string) bool { return c == channel })
		left += len(k.channels[i])
	}
	if left == 0 {
		k.end()
	}
}

func (k *catchup) end() {
	if k.phase == ended {
		return
	}
	k.phase = ended
	k.hub.catchups.open.Add(-1)
	if k.cancel != nil {
		k.cancel()
	}
}

// release makes the subscriptions live, from what is offered next on.
func (k *catchup) release() {
	for sub := k.conn.subs; sub != nil; sub = sub.next {
		if sub.catchup == k {
			sub.catchup = nil
			sub.sent = k.conn.shard.number
		}
	}
	k.end()
}

// abandon takes the subscriptions out.
func (k *catchup) abandon() {
	for sub := k.conn.subs; sub != nil; {
		next := sub.next
		if sub.catchup == k {
			k.conn.shard.unsubscribe(sub)
		}
		sub = next
	}
	k.end()
}

// isAhead tells whether the client has more of a stream than has been offered
// here. What was offered since that was last found may have changed it.
func (k *catchup) isAhead() bool {
	for _, stream := range position.All() {
		if len(k.channels[stream-1]) > 0 && k.at.Get(stream).Seq > k.conn.shard.marks.Get(stream).Seq {
			return len(k.resets) == 0
		}
	}
	return false
}

// wakeAhead gives those a turn whose clients were ahead of this shard.
func (s *shard) wakeAhead() {
	for _, k := range s.ahead {
		k.wake(behind)
	}
	s.ahead = s.ahead[:0]
}

// reset tells every connection that reads the stream.
func (s *shard) reset(stream position.Stream, marks position.Position, why ResetReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = marks
	s.lineages[stream-1].append(marks.Get(stream))
	told := map[any]bool{}
	for name, ch := range s.channels {
		if position.Of(name) != stream {
			continue
		}
		for _, sub := range ch.subs {
			c, k := sub.conn, sub.catchup
			switch {
			case k != nil && !told[k]:
				told[k] = true
				k.resetTo(stream, marks.Get(stream), why)
			case k == nil && !told[c]:
				told[c] = true
				s.handReset(c, stream, marks, why)
			}
		}
	}
	s.wakeAhead()
}

// resetTo has a catchup go on from another mark, and say so first.
func (k *catchup) resetTo(stream position.Stream, now position.Mark, why ResetReason) {
	if k.phase == resolving {
		return // what it comes to is checked against the marks
	}
	k.at = goOn(k.at, stream, now)
	k.resets = append(k.resets, Reset{stream, why})
}

// goOn is where a client goes on after a reset. Up to the mark the stream is what
// it was: who stands before that has seen nothing else.
func goOn(at position.Position, stream position.Stream, now position.Mark) position.Position {
	now.Seq = min(now.Seq, at.Get(stream).Seq)
	return at.With(stream, now)
}

// catchEpoch finds a stream that was reset while the client's start was being
// resolved.
func (k *catchup) catchEpoch() {
	s := k.conn.shard
	for _, stream := range position.All() {
		if len(k.channels[stream-1]) == 0 || k.at.Get(stream).Epoch == s.marks.Get(stream).Epoch {
			continue
		}
		now := s.marks.Get(stream)
		now.Seq = s.lineages[stream-1].shared(k.at.Get(stream).Epoch, now.Seq)
		k.resetTo(stream, now, ResetEpoch)
	}
}
