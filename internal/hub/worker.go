package hub

import (
	"cmp"
	"runtime"
	"slices"

	"belfry/internal/position"
)

// A write is what the worker has to do outside the lock.
type write struct {
	conn  *Conn
	bytes []byte
	mark  uint64
	reset position.Mark // comes before it, unless it is zero
}

// A handover is bytes that others than the worker have for a connection, to be
// written in their place in its order.
type handover write

// hand lists a handover, behind what was pending for the connection before.
// Called with mu held.
func (s *shard) hand(c *Conn, bytes []byte, mark uint64) {
	s.handPending(c)
	s.handovers = append(s.handovers, handover{conn: c, bytes: bytes, mark: mark})
	s.rouse()
}

// handPending hands on what is pending for the connection.
func (s *shard) handPending(c *Conn) {
	if bytes, mark := c.collect(); bytes != nil {
		s.handovers = append(s.handovers, handover{conn: c, bytes: bytes, mark: mark})
	}
}

// handReset tells the connection of another epoch. Called with mu held.
func (s *shard) handReset(c *Conn, stream position.Stream, marks position.Position, why ResetReason) {
	s.resets.count(why)
	var h handover
	if c.readsOwn(stream) {
		h.reset = marks.Get(stream)
	}
	if c.encoding.reset != nil {
		h.bytes = c.encoding.reset(marks, why)
	}
	s.handPending(c)
	h.conn = c
	s.handovers = append(s.handovers, h)
	s.rouse()
}

// work is the worker: turn by turn, until nothing is pending.
func (s *shard) work() {
	defer close(s.done)
	var writes []write
	for {
		s.mu.Lock()
		writes = s.turn(writes[:0])
		if len(writes) > 0 {
			s.passes++
			s.writes += uint64(len(writes))
		}
		idle := len(s.small) == 0 && len(s.large) == 0
		stop := s.stop && idle
		s.room.Broadcast()
		s.mu.Unlock()
		for i := range writes {
			writes[i].do()
			writes[i] = write{}
		}
		if stop {
			return
		}
		if idle {
			<-s.wake
		}
		// Writes that don't block keep a processor for 10 ms at a time: those who are
		// ready to run, NATS among them, would bring too late what could have joined.
		runtime.Gosched()
	}
}

func (w *write) do() {
	if w.reset.Epoch != "" {
		w.conn.w.Reset(w.reset)
	}
	if len(w.bytes) > 0 {
		w.conn.w.Deliver(w.bytes, w.mark)
	}
}

// turn collects the writes of all handovers, of small channels, up to turnSize,
// and of one slice of a large one. Called with mu held.
func (s *shard) turn(writes []write) []write {
	for _, h := range s.handovers {
		writes = append(writes, write(h))
	}
	s.handovers = nil
	taken := 0
	for taken < len(s.small) && len(writes) < turnSize {
		ch := s.small[taken]
		taken++
		writes = s.round(ch, len(ch.subs), writes)
	}
	s.small = slices.Delete(s.small, 0, taken)
	if len(s.large) > 0 {
		ch := s.large[0]
		s.large = slices.Delete(s.large, 0, 1)
		writes = s.round(ch, sliceSize, writes)
	}
	return writes
}

// round goes on with a channel's round, for n subscribers, and lists it again
// if there is more to do. Called with mu held, as are the next two.
func (s *shard) round(ch *channel, n int, writes []write) []write {
	r := ch.round
	if r.until == 0 {
		r.next, r.until = int32(len(ch.subs)), ch.last()
	}
	r.next = min(r.next, int32(len(ch.subs)))
	for ; n > 0 && r.next > 0; n-- {
		r.next--
		c := ch.subs[r.next].conn
		if bytes, mark := c.collect(); bytes != nil {
			writes = append(writes, write{conn: c, bytes: bytes, mark: mark})
		}
	}
	if r.next > 0 {
		s.large = append(s.large, ch)
		return writes
	}
	s.pending[ch.kind()] -= ch.forget(r.until)
	if len(r.backlog) > 0 {
		s.enlist(ch)
	} else {
		s.end(ch)
	}
	return writes
}

// collect returns all that is pending for a connection, on any channel, as one
// piece of bytes in the order of publication, and nil if nothing is. mark is the
// newest sequence in it of the user's own personal channel.
func (c *Conn) collect() (bytes []byte, mark uint64) {
	var first *subscription
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.channel.last() <= sub.sent {
			continue
		}
		if first != nil || sub.catchup != nil {
			return c.merge()
		}
		first = sub
	}
	if first == nil {
		return nil, 0
	}
	pending := first.channel.after(first.sent)
	first.sent = pending[len(pending)-1].number
	c.encoding.deliveries.Add(uint64(len(pending)))
	return first.channel.round.joined(c.encoding, pending), first.mark(pending)
}

// merge is collect for a connection on which several channels are pending, or
// one that is being caught up with: of that only what is live comes from here.
func (c *Conn) merge() (bytes []byte, mark uint64) {
	var pending []queued
	for sub := c.subs; sub != nil; sub = sub.next {
		after := sub.channel.after(sub.sent)
		if len(after) == 0 {
			continue
		}
		sub.sent = after[len(after)-1].number
		if sub.catchup != nil {
			after = slices.DeleteFunc(slices.Clone(after), func(q queued) bool { return q.entry.publication.Stream != position.None })
		}
		pending = append(pending, after...)
		mark = max(mark, sub.mark(after))
	}
	if len(pending) == 0 {
		return nil, 0
	}
	slices.SortFunc(pending, func(a, b queued) int { return cmp.Compare(a.number, b.number) })
	c.encoding.deliveries.Add(uint64(len(pending)))
	return concat(c.encoding, pending), mark
}

// mark is the newest stored sequence in what is sent of the user's own personal
// channel, 0 for none.
func (sub *subscription) mark(sent []queued) uint64 {
	if !sub.own {
		return 0
	}
	for i := len(sent) - 1; i >= 0; i-- {
		if p := &sent[i].entry.publication; p.Stream != position.None {
			return p.Seq
		}
	}
	return 0
}
