package journal

import (
	"hash/maphash"
	"sort"

	"belfry/internal/hub"
)

// recentMost bounds how long one recent holds its caller up.
const recentMost = 1024

// recent is hub.History.Recent. It reads at most recentMost entries at once.
func (r *ring) recent(channels []string, after, until uint64, maxBytes int) (batch []hub.Publication, next uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.epoch == "" || after < r.above {
		return nil, 0, false
	}
	until = min(until, r.upTo)
	if after >= until {
		return nil, max(after, until), true
	}
	var one [1]walk
	walks, expected := r.walks(one[:0], channels, after)
	now := r.date.now()
	next = after
	for read, bytes := 0, 0; ; read++ {
		w := earliest(walks)
		if w == nil || w.slot.seq > until {
			return batch, until, true
		}
		s := w.slot
		if r.deliverable(s, now) {
			bytes += int(s.size)
			if len(batch) > 0 && bytes > maxBytes {
				return batch, next, true
			}
			if batch == nil {
				batch = make([]hub.Publication, 0, min(expected, 64))
			}
			batch = append(batch, hub.Publication{
				Channel: w.channel, Payload: r.payloadOf(w.place, s), Class: hub.Class(s.kind),
				Stream: r.stream, Epoch: r.epoch, Seq: s.seq, Expires: s.expires(),
			})
		}
		next = s.seq
		if read >= recentMost && len(batch) > 0 {
			return batch, next, true
		}
		r.step(w)
	}
}

func (r *ring) deliverable(s *slot, now int64) bool {
	return s.kind != removed && s.seq >= r.floor && (s.ttl == 0 || s.expires() > now)
}

// A walk goes along the chain of a channel, from the oldest to the newest.
type walk struct {
	channel string
	place   uint32
	slot    *slot // nil at the end
}

// earliest is the walk that stands at the lowest sequence, nil if all ended.
func earliest(walks []walk) (first *walk) {
	for i := range walks {
		w := &walks[i]
		if w.slot != nil && (first == nil || w.slot.seq < first.slot.seq) {
			first = w
		}
	}
	return first
}

// walks begins one per channel that has something above after; expected is how
// many entries those are. Called with mu held, as all below.
func (r *ring) walks(walks []walk, channels []string, after uint64) (_ []walk, expected int) {
	for _, channel := range channels {
		head, ok := r.heads[maphash.String(r.seed, channel)]
		if !ok || r.slotAt(head).seq <= after {
			continue
		}
		place := r.firstAbove(head, after)
		w := walk{channel: channel, place: place, slot: r.slotAt(place)}
		expected += int(r.slotAt(head).depth-w.slot.depth) + 1
		r.match(&w)
		walks = append(walks, w)
	}
	return walks, expected
}

// firstAbove is the oldest entry above after of the chain that head, which is
// above it, belongs to.
func (r *ring) firstAbove(head uint32, after uint64) uint32 {
	above := func(place uint32) bool { return r.has(place) && r.slotAt(place).seq > after }
	for place := head; ; {
		s := r.slotAt(place)
		switch {
		case above(s.jump):
			place = s.jump
		case above(s.prev):
			place = s.prev
		default:
			return place
		}
	}
}

func (r *ring) step(w *walk) {
	r.follow(w)
	r.match(w)
}

func (r *ring) follow(w *walk) {
	if w.slot.next == w.place {
		w.slot = nil
		return
	}
	w.place = w.slot.next
	w.slot = r.slotAt(w.place)
}

// match goes on to an entry of the walk's own channel: two channels whose
// hashes are the same share a chain.
func (r *ring) match(w *walk) {
	for w.slot != nil && string(r.nameOf(w.place, w.slot)) != w.channel {
		r.follow(w)
	}
}

// low is the sequence above which everything that the stream retains is here,
// as far as high.
func (r *ring) low() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.above
}

// reach is low and the epoch that it is of.
func (r *ring) reach() (epoch string, low uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.epoch, r.above
}

func (r *ring) high() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.upTo
}

// size is how many entries the ring has, and how many bytes they take.
func (r *ring) size() (entries, bytes int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int(r.count), r.used
}

// timeOf is when the message of that sequence was stored; ok is false where
// the ring has no entry of it.
func (r *ring) timeOf(seq uint64) (at int64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s := r.find(seq); s != nil {
		return s.time, true
	}
	return 0, false
}

func (r *ring) find(seq uint64) *slot {
	i := r.search(seq)
	if i < r.count {
		if s := r.slotAt(r.start + i); s.seq == seq {
			return s
		}
	}
	return nil
}

// search is how many entries are below seq.
func (r *ring) search(seq uint64) uint32 {
	return uint32(sort.Search(int(r.count), func(i int) bool { return r.slotAt(r.start+uint32(i)).seq >= seq }))
}

// newest calls yield with the entries from the newest down, without a lock
// held, until it returns false or there are none left.
func (r *ring) newest(yield func(seq uint64, at int64) bool) {
	below := ^uint64(0)
	for {
		seq, at, ok := r.below(below)
		if !ok || !yield(seq, at) {
			return
		}
		below = seq
	}
}

func (r *ring) below(seq uint64) (found uint64, at int64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := r.search(seq)
	if i == 0 {
		return 0, 0, false
	}
	s := r.slotAt(r.start + i - 1)
	return s.seq, s.time, true
}

// expire says that the stream does not retain sequences below first any more:
// they are not replayed, and leave.
func (r *ring) expire(first uint64) {
	for more := true; more; {
		more = r.expireSome(first)
	}
}

func (r *ring) expireSome(first uint64) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = max(r.floor, first)
	for range applyAtOnce {
		if r.count == 0 || r.slotAt(r.start).seq >= r.floor {
			return false
		}
		r.evict()
	}
	return true
}

// remove says that messages were removed from the stream through our API: they
// are not replayed.
func (r *ring) remove(seqs ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seq := range seqs {
		if s := r.find(seq); s != nil {
			s.kind = removed
		}
	}
}
