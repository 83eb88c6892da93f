package hub

import (
	"cmp"
	"slices"
	"sync"

	"belfry/internal/position"
)

const (
	// sliceSize is how many connections of a large fan-out are written before
	// single users' publications get their turn.
	sliceSize = 64
	// turnSize is how many writes of small channels come between two slices.
	turnSize = 256
	// maxPending is how many publications a shard takes in before Publish waits.
	maxPending = 16 << 10
)

// shard has a part of the connections, and one worker that writes to them.
type shard struct {
	mu            sync.Mutex // guards the following, and every channel and subscription
	room          sync.Cond  // of mu: pending fell below maxPending
	channels      map[string]*channel
	subscriptions int
	number        uint64            // of the newest publication taken in
	pending       int               // publications in the backlogs
	small         []*channel        // have a backlog and at most sliceSize subscribers
	large         []*channel        // have a backlog, and a round to finish
	handovers     []handover        // to be written before anything else
	marks         position.Position // up to where the streams have been offered here
	bases         position.Position // where they began, by their last reset
	resets        resets
	ahead         []*catchup // whose clients have seen more than marks
	stop          bool

	wake chan struct{} // has a token when there is something to do
	done chan struct{}
}

func startShard() *shard {
	s := &shard{channels: map[string]*channel{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.room.L = &s.mu
	go s.work()
	return s
}

func (s *shard) close() {
	s.mu.Lock()
	s.stop = true
	s.mu.Unlock()
	s.rouse()
	<-s.done
}

func (s *shard) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// offer takes in what of a batch somebody here is subscribed to, and up to where
// the streams are offered with it. entries are the batch's, made by the first
// shard that needs one.
func (s *shard) offer(batch []Publication, entries []*entry, marks position.Position) {
	s.mu.Lock()
	for s.pending >= maxPending && !s.stop {
		s.rouse()
		s.room.Wait()
	}
	before := s.pending
	for i := range batch {
		ch := s.channels[batch[i].Channel]
		if ch == nil {
			continue
		}
		if entries[i] == nil {
			entries[i] = &entry{publication: batch[i]}
		}
		s.number++
		s.pending++
		ch.backlog = append(ch.backlog, queued{s.number, entries[i]})
		s.enlist(ch)
	}
	s.marks = marks
	s.wakeAhead()
	taken := s.pending > before
	s.mu.Unlock()
	if taken {
		s.rouse()
	}
}

// enlist begins a round of a channel that has a backlog, unless one is under
// way. Called with mu held, as are the next two.
func (s *shard) enlist(ch *channel) {
	if ch.pending {
		return
	}
	ch.pending, ch.next, ch.until = true, int32(len(ch.subs)), ch.last()
	if len(ch.subs) <= sliceSize {
		s.small = append(s.small, ch)
	} else {
		s.large = append(s.large, ch)
	}
}

func (s *shard) subscribe(c *Conn, name string, k *catchup) {
	ch := s.channels[name]
	if ch == nil {
		ch = &channel{name: name}
		ch.subs = ch.one[:0]
		s.channels[name] = ch
	}
	sub := &c.own
	if sub.channel != nil {
		sub = new(subscription)
	}
	*sub = subscription{
		conn: c, channel: ch, next: c.subs, catchup: k, sent: s.number, index: int32(len(ch.subs)),
		own: c.owns(name),
	}
	ch.subs = append(ch.subs, sub)
	c.subs = sub
	s.subscriptions++
}

// unsubscribe moves the last subscriber into the place that gets free. A round
// goes from the last to the first, so that it passes nobody by for that.
func (s *shard) unsubscribe(sub *subscription) {
	ch, end := sub.channel, len(sub.channel.subs)-1
	moved := ch.subs[end]
	ch.subs[sub.index], moved.index = moved, sub.index
	ch.subs[end] = nil
	ch.subs = ch.subs[:end]
	if sub.catchup != nil {
		sub.catchup.drop(ch.name)
	}
	sub.conn.unlink(sub)
	*sub = subscription{}
	s.subscriptions--
	if end == 0 {
		s.pending -= ch.forget(ch.last())
		delete(s.channels, ch.name)
	}
}

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
		idle := len(s.small) == 0 && len(s.large) == 0
		stop := s.stop && idle
		if s.pending < maxPending || s.stop {
			s.room.Broadcast()
		}
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
	ch.next = min(ch.next, int32(len(ch.subs)))
	for ; n > 0 && ch.next > 0; n-- {
		ch.next--
		c := ch.subs[ch.next].conn
		if bytes, mark := c.collect(); bytes != nil {
			writes = append(writes, write{conn: c, bytes: bytes, mark: mark})
		}
	}
	if ch.next > 0 {
		s.large = append(s.large, ch)
		return writes
	}
	ch.pending = false
	s.pending -= ch.forget(ch.until)
	if len(ch.backlog) > 0 {
		s.enlist(ch)
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
	return first.channel.joined(c.encoding, pending), first.mark(pending)
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
