package transport

import (
	"sync"
	"sync/atomic"
)

// ticks is a time on the wheel, or a span of it. It starts at 1 and would wrap
// after 136 years of seconds.
type ticks uint32

const wheelSlots = 64 // a power of two

// wheel is every connection's alarm clock: one ring of slots, each a list of
// the connections to look at in that tick. An alarm beyond the ring's end is
// looked at early and set again, so it needs no second level.
type wheel struct {
	now     atomic.Uint32
	mu      sync.Mutex // guards the following and every Conn.entry
	slots   [wheelSlots]*Conn
	due     []*Conn // of this tick, while they are looked at
	leaving bool    // leave was called
}

// wheelEntry is a connection's place in the wheel.
type wheelEntry struct {
	next, prev *Conn
	soon       ticks // an alarm that was set while c was being looked at
	slot       int8  // or one of:
}

const (
	slotNone int8 = -1 // being looked at, or not begun
	slotGone int8 = -2 // never again
)

func (w *wheel) init() { w.now.Store(1) }

func (w *wheel) time() ticks { return ticks(w.now.Load()) }

// add sets the first alarm of a new connection. It returns true for one that
// came after leave, which has not seen it.
func (w *wheel) add(c *Conn, at ticks) (late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(c, soonest(c.entry.soon, at))
	return w.leaving
}

// hasten makes sure that c is looked at at that tick or before.
func (w *wheel) hasten(c *Conn, at ticks) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.entry.slot < 0 {
		c.entry.soon = soonest(c.entry.soon, at)
		return
	}
	if now := w.time(); at-now < distance(now, c.entry.slot) {
		w.take(c)
		w.put(c, at)
	}
}

// distance is in how many ticks a slot's turn comes, 1 to wheelSlots.
func distance(now ticks, slot int8) ticks {
	return (ticks(slot)-now-1)%wheelSlots + 1
}

// remove takes c out for good.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.entry.slot >= 0 {
		w.take(c)
	}
	c.entry.slot = slotGone
}

// advance is one tick: it looks at every connection whose turn it is.
func (w *wheel) advance() {
	w.mu.Lock()
	now := ticks(w.now.Add(1))
	due := w.list(int(now % wheelSlots))
	for _, c := range due {
		w.take(c)
	}
	w.due = due
	w.mu.Unlock()
	for _, c := range due {
		again, ok := c.tick(now)
		w.mu.Lock()
		if ok && c.entry.slot == slotNone {
			w.put(c, soonest(c.entry.soon, again))
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.due = nil
	w.mu.Unlock()
}

// leave returns every connection that was added. Those that are added later are
// told by add.
func (w *wheel) leave() (all []*Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
	for slot := range w.slots {
		all = append(all, w.list(slot)...)
	}
	for _, c := range w.due {
		if c.entry.slot == slotNone { // no slot has it
			all = append(all, c)
		}
	}
	return all
}

// The following are called with mu held.

func (w *wheel) list(slot int) (list []*Conn) {
	for c := w.slots[slot]; c != nil; c = c.entry.next {
		list = append(list, c)
	}
	return list
}

// put files c under the tick, or the last slot before it that the ring has.
func (w *wheel) put(c *Conn, at ticks) {
	now := w.time()
	at = min(max(at, now+1), now+wheelSlots)
	slot := int8(at % wheelSlots)
	c.entry = wheelEntry{slot: slot, next: w.slots[slot]}
	if c.entry.next != nil {
		c.entry.next.entry.prev = c
	}
	w.slots[slot] = c
}

func (w *wheel) take(c *Conn) {
	if c.entry.prev != nil {
		c.entry.prev.entry.next = c.entry.next
	} else {
		w.slots[c.entry.slot] = c.entry.next
	}
	if c.entry.next != nil {
		c.entry.next.entry.prev = c.entry.prev
	}
	c.entry = wheelEntry{slot: slotNone}
}
