package journal

import (
	"strings"
	"sync/atomic"

	"belfry/internal/position"
	"belfry/internal/subject"
)

// A cursor is one connection's part in its user's delivered cursor: what
// Cursors.Open gives. Its methods take a lock for some ns and never wait; they
// may be called from any goroutine.
type cursor struct {
	entry *cursorEntry
	sent  atomic.Uint64

	// mu of the Cursors guards the following.
	own     uint64 // what this connection has; valid with started
	epoch   uint32 // of own and sent
	tickets bool
	started bool
	closed  bool
}

// Sent says that what the personal channel has up to seq was written to the
// connection, or at least that it may have been: a connection that ends with
// more sent than confirmed leaves a ticket.
func (c *cursor) Sent(seq uint64) {
	for {
		sent := c.sent.Load()
		if seq <= sent || c.sent.CompareAndSwap(sent, seq) {
			return
		}
	}
}

// Confirm says that the client has everything of the personal channel up to
// seq, which need not be a sequence of that channel: a connection that has got
// all there is may confirm the stream's watermark. Less than before changes
// nothing.
func (c *cursor) Confirm(seq uint64) {
	k := c.entry.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.closed {
		c.confirm(seq)
	}
}

func (c *cursor) confirm(seq uint64) {
	if !c.started || seq > c.own {
		c.started, c.own = true, seq
	}
	c.entry.k.confirm(c.entry, c.epoch, seq)
}

// Reset says that the connection goes on behind m: because its position said
// so, because nothing was known of the user, or because the stream's epoch
// changed under it. Then it has no more than it had confirmed before, of what is
// up to m and is the same in both epochs. Sequences that are sent and confirmed
// from then on are of that epoch; none of another may follow. The user's record
// begins there too, unless it has something of that epoch already.
func (c *cursor) Reset(m position.Mark) {
	k := c.entry.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.closed {
		return
	}
	epoch, has := k.epochs.id(m.Epoch), m.Seq
	if c.started && epoch != c.epoch {
		has = min(c.own, m.Seq)
		c.sent.Store(min(c.sent.Load(), m.Seq))
	} else {
		c.sent.Store(0)
	}
	c.started, c.own, c.epoch = true, has, epoch
	k.adopt(c.entry, epoch)
	if !c.entry.known {
		k.confirm(c.entry, epoch, has)
	}
}

// Close says that the connection ended. It leaves a ticket, if it takes part in
// tickets, where it has less than the user or than it was sent. It may be
// called twice.
func (c *cursor) Close() { c.end(false) }

// Break is Close for a connection of which nobody knows whether the client
// wanted it to end (no close frame came): it leaves a ticket even if it has
// everything, as the client will come back to where it was, and another one may
// receive something meanwhile.
func (c *cursor) Break() { c.end(true) }

func (c *cursor) end(broke bool) {
	upTo, ok := c.quiet()
	k, e := c.entry.k, c.entry
	k.lock()
	defer k.unlock()
	if c.closed {
		return
	}
	c.closed = true
	if ok && upTo.Epoch == k.epochs.name(c.epoch) {
		c.confirm(upTo.Seq)
	}
	own, sent, in := c.own, c.sent.Load(), c.epoch == e.epoch
	if !in { // the reset was still to come
		var shared uint64
		shared, in = k.epochs.shared(k.epochs.name(c.epoch), k.epochs.name(e.epoch))
		own, sent = min(own, shared), min(sent, shared)
	}
	if c.tickets && c.started && in {
		k.leaveTicket(e, own, broke || sent > own || own < e.confirmed)
	}
	k.leave(e)
	if e.dirty {
		k.hurry(e)
	}
	k.release(e)
}

// quiet asks up to where the personal channel has nothing that this connection
// has not confirmed.
func (c *cursor) quiet() (upTo position.Mark, ok bool) {
	k := c.entry.k
	if k.quiet == nil {
		return position.Mark{}, false
	}
	k.mu.Lock()
	own, ask := c.own, c.started && !c.closed && c.sent.Load() <= c.own
	k.mu.Unlock()
	if !ask {
		return position.Mark{}, false
	}
	token, _, _ := strings.Cut(c.entry.key, ".")
	user, err := subject.DecodeUser(token)
	if err != nil {
		return position.Mark{}, false
	}
	return k.quiet("#"+user, own)
}

// leaveTicket has a ticket written. One that is not sure does not make a write
// of its own: it matters only if another gateway was first with one.
func (k *Cursors) leaveTicket(e *cursorEntry, seq uint64, sure bool) {
	if !sure && !e.dirty && !e.busy {
		return
	}
	w := e.working()
	if len(w.leaves) >= ticketsMax {
		k.stats.TicketsDropped++
		return
	}
	w.leaves = append(w.leaves, cursorLeave{ticket: newTicket(seq, k.date()), sure: sure})
	if sure {
		k.soil(e)
	}
}
