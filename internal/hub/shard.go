package hub

import (
	"sync"

	"belfry/internal/position"
)

const (
	// sliceSize is how many connections of a large fan-out are written before
	// single users' publications get their turn.
	sliceSize = 64
	// turnSize is how many writes of small channels come between two slices.
	turnSize = 256
	// maxPending is how many publications a shard takes in of one stream's channels
	// before Publish waits.
	maxPending = 16 << 10
)

// shard has a part of the connections, and one worker that writes to them.
type shard struct {
	mu            sync.Mutex // guards the following, and every channel and subscription
	room          sync.Cond  // of mu: pending may have fallen
	channels      map[string]*channel
	subscriptions int
	number        uint64              // of the newest publication taken in
	pending       [position.Count]int // publications in the backlogs, by the stream of their channels
	small         []*channel          // have a round to begin, and at most sliceSize subscribers
	large         []*channel          // have a round to finish
	rounds        []*round            // to be used again
	handovers     []handover          // to be written before anything else
	marks         position.Position   // up to where the streams have been offered here
	lineages      [position.Count]lineage
	resets        resets
	passes        uint64     // of the worker in which it wrote
	writes        uint64     // that it made of them
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

// awaitRoom waits until less than maxPending publications of a stream's channels
// are to be written yet.
func (s *shard) awaitRoom(stream position.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.pending[stream-1] >= maxPending && !s.stop {
		s.rouse()
		s.room.Wait()
	}
}

// offer takes in what of a batch somebody here is subscribed to, and up to where
// the streams are offered with it. entries are the batch's, made by the first
// shard that needs one.
func (s *shard) offer(batch []Publication, entries []*entry, marks position.Position) {
	s.mu.Lock()
	taken := false
	for i := range batch {
		ch := s.channels[batch[i].Channel]
		if ch == nil {
			continue
		}
		if entries[i] == nil {
			entries[i] = &entry{publication: batch[i]}
		}
		s.number++
		s.pending[ch.kind()]++
		taken = true
		first := s.begin(ch)
		ch.round.backlog = append(ch.round.backlog, queued{s.number, entries[i]})
		if first {
			s.enlist(ch)
		}
	}
	s.marks = marks
	s.wakeAhead()
	s.mu.Unlock()
	if taken {
		s.rouse()
	}
}

// enlist lists a channel for its round, which is what has been published by the
// time that it begins. Called with mu held, as are the next two.
func (s *shard) enlist(ch *channel) {
	ch.round.until = 0
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
		s.pending[ch.kind()] -= ch.forget(ch.last())
		delete(s.channels, ch.name)
	}
}
