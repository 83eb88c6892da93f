package hub

import (
	"cmp"
	"slices"
	"sync"
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
	number        uint64     // of the newest publication taken in
	pending       int        // publications in the backlogs
	small         []*channel // have a backlog and at most sliceSize subscribers
	large         []*channel // have a backlog, and a round to finish
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

// offer takes in what of a batch somebody here is subscribed to. entries are
// the batch's, made by the first shard that needs one.
func (s *shard) offer(batch []Publication, entries []*entry) {
	taken := false
	s.mu.Lock()
	for i := range batch {
		for s.pending >= maxPending && !s.stop {
			s.rouse()
			s.room.Wait()
		}
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
		taken = true
	}
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

func (s *shard) subscribe(c *Conn, name string) {
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
	*sub = subscription{conn: c, channel: ch, next: c.subs, sent: s.number, index: int32(len(ch.subs))}
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
			writes[i].conn.w.Write(writes[i].bytes)
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

// turn collects the writes of small channels, up to turnSize, and of one slice
// of a large one. Called with mu held.
func (s *shard) turn(writes []write) []write {
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
		if bytes := c.collect(); bytes != nil {
			writes = append(writes, write{c, bytes})
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
// piece of bytes in the order of publication, and nil if nothing is.
func (c *Conn) collect() []byte {
	var first *subscription
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.channel.last() <= sub.sent {
			continue
		}
		if first != nil {
			return c.merge()
		}
		first = sub
	}
	if first == nil {
		return nil
	}
	pending := first.channel.after(first.sent)
	first.sent = pending[len(pending)-1].number
	c.encoding.deliveries.Add(uint64(len(pending)))
	return first.channel.joined(c.encoding, pending)
}

// merge is collect for a connection on which several channels are pending.
func (c *Conn) merge() []byte {
	var pending []queued
	for sub := c.subs; sub != nil; sub = sub.next {
		pending = append(pending, sub.channel.after(sub.sent)...)
		sub.sent = max(sub.sent, sub.channel.last())
	}
	slices.SortFunc(pending, func(a, b queued) int { return cmp.Compare(a.number, b.number) })
	c.encoding.deliveries.Add(uint64(len(pending)))
	return concat(c.encoding, pending)
}
