package journal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"belfry/internal/bus"
)

// What is done for one entry, one question at a time: read what is stored,
// merge it with what is known here, hand out its tickets, write the result if
// something is to be written, and from the start again if somebody else was
// first. mu is held throughout.

const (
	// cursorPatience is how long a connection waits for its cursor while NATS
	// is there but does not answer.
	cursorPatience = 5 * time.Second

	// cursorMisses is how often in a row others may be first.
	cursorMisses = 20
)

// A cursorPlan is one write.
type cursorPlan struct {
	record record
	rev    uint64 // what must be stored before it
	name   string // set where it must not be done twice: it changes tickets

	starts  []uint64 // of those that wait for it
	taken   []ticket // by them
	leaves  int      // how many of the work's leaves it settles
	left    int      // and how many of those became tickets
	expired int
	dropped int
	unsure  bool // a try of it failed, and may have been stored all the same
	orphan  bool // likewise, and those that waited were told that it failed
}

// lineUp has an entry read for its opens, as soon as there is room.
func (k *Cursors) lineUp(e *cursorEntry) {
	switch {
	case e.busy || e.lined:
	case k.reading < cursorReads:
		k.begin(e, false)
	default:
		e.lined = true
		k.line.push(e)
	}
}

// begin starts what there is to do for an entry that is not busy.
func (k *Cursors) begin(e *cursorEntry, write bool) {
	w := e.working()
	e.busy = true
	w.write, w.sure, w.misses, w.begun = write, false, 0, k.clock()
	if !write {
		w.since = w.begun
	}
	w.served, w.opens = w.opens, nil
	if write {
		k.writes.running++
	} else {
		k.reading++
	}
	if write && e.read && len(w.served) == 0 {
		k.proceed(e)
		return
	}
	k.ask(e, k.store.get)
}

func (k *Cursors) ask(e *cursorEntry, get func(string, func(storedCursor, error))) {
	k.stats.Reads++
	k.later(func() {
		get(e.key, func(s storedCursor, err error) {
			k.lock()
			defer k.unlock()
			if err != nil {
				k.fail(e, err)
				return
			}
			k.gotRead(e, s)
		})
	})
}

func (k *Cursors) gotRead(e *cursorEntry, s storedCursor) {
	w := e.work
	if s.bad != nil {
		k.stats.Malformed++
		k.log.Warn("a delivered cursor can't be read: its user gets again what is retained", "user", e.key, "err", s.bad)
	}
	e.rev, e.read = s.rev, true
	if p := w.plan; p != nil {
		switch {
		case p.name != "" && s.write == p.name:
			k.stored(e, p)
		case p.name != "" && s.rev == p.rev && !p.orphan:
			k.put(e, p) // again as it was: the first may still come
			return
		case p.unsure: // it was stored, maybe, and overwritten since
			for _, t := range p.taken {
				if !slices.Contains(s.tickets, t) {
					w.leaves = append(w.leaves, cursorLeave{ticket: t, sure: true})
				}
			}
		}
		w.plan = nil
	}
	k.merge(e, s)
	if w.other != nil && e.known && !w.sure && k.present != nil {
		k.later(func() { k.askPresent(e, s) })
		return
	}
	k.proceed(e)
}

// errPresent says that it could not be told which epoch the stream has.
var errPresent = errors.New("the stream's epoch could not be looked up in time")

// askPresent asks whether another epoch's record may be overwritten.
func (k *Cursors) askPresent(e *cursorEntry, s storedCursor) {
	var once sync.Once
	got := func(epoch string, err error) { once.Do(func() { k.gotPresent(e, s, epoch, err) }) }
	late := time.AfterFunc(cursorPatience, func() { got("", errPresent) })
	k.present(func(epoch string, err error) {
		late.Stop()
		got(epoch, err)
	})
}

// gotPresent goes on where a record of another epoch is to be overwritten.
func (k *Cursors) gotPresent(e *cursorEntry, s storedCursor, epoch string, err error) {
	k.lock()
	defer k.unlock()
	if err != nil {
		k.fail(e, err)
		return
	}
	e.work.sure = true
	k.adopt(e, k.epochs.id(epoch))
	e.rev, e.read = s.rev, true
	k.merge(e, s)
	k.proceed(e)
}

// merge takes over what is stored, as far as it is of this epoch.
func (k *Cursors) merge(e *cursorEntry, s storedCursor) {
	w := e.work
	w.tickets, w.other = nil, nil
	if !s.found || s.epoch != k.epochs.name(e.epoch) {
		if s.found {
			w.other = &s.record
			e.read = e.known // else its tickets are to be carried later
		}
		if e.known {
			k.carry(e, s)
			k.soil(e)
		}
		return
	}
	w.tickets = s.tickets
	w.settleCarried()
	if !e.known || s.seq > e.confirmed {
		e.known, e.confirmed = true, s.seq
	}
	if s.seq < e.confirmed || w.leavable(e.confirmed) > 0 {
		k.soil(e)
	} else {
		k.clean(e)
	}
}

// carry takes over the tickets of a record that is going to be overwritten as it
// is of an epoch before the present one: who left them has what both have.
func (k *Cursors) carry(e *cursorEntry, s storedCursor) {
	shared, known := k.epochs.shared(s.epoch, k.epochs.name(e.epoch))
	if !known {
		return
	}
	have := e.work.leaving()
	for _, t := range s.tickets {
		if t = t.clamped(shared); have[t] > 0 {
			have[t]--
		} else {
			e.work.leaves = append(e.work.leaves, cursorLeave{t, true, true})
		}
	}
}

// leaving counts the tickets that are to be left.
func (w *cursorWork) leaving() map[ticket]int {
	n := map[ticket]int{}
	for _, l := range w.leaves {
		n[l.ticket]++
	}
	return n
}

// settleCarried drops those that another gateway has carried too, and written.
func (w *cursorWork) settleCarried() {
	stored := slices.Clone(w.tickets)
	w.leaves = slices.DeleteFunc(w.leaves, func(l cursorLeave) bool {
		i := slices.Index(stored, l.ticket)
		if !l.carried || i < 0 {
			return false
		}
		stored = slices.Delete(stored, i, i+1)
		return true
	})
}

// leavable counts the tickets to be left, as far as is known: those that were
// sure, or behind what is confirmed by now.
func (w *cursorWork) leavable(confirmed uint64) (n int) {
	for i := range w.leaves {
		l := &w.leaves[i]
		l.sure = l.sure || l.Seq < confirmed
		if l.sure {
			n++
		}
	}
	return n
}

// proceed answers those that wait, at once if they take no ticket, and writes
// what is to be written.
func (k *Cursors) proceed(e *cursorEntry) {
	p := k.draw(e)
	if len(p.taken) == 0 {
		k.answer(e, p.starts)
		if !e.known {
			k.clean(e)
		}
		if !e.work.write || !e.dirty {
			k.finish(e)
			return
		}
	}
	k.clean(e)
	k.put(e, p)
}

// draw draws up what is to be stored if those that are being served take their
// tickets, the oldest for the first of them.
func (k *Cursors) draw(e *cursorEntry) *cursorPlan {
	w, now := e.work, k.date()
	p := &cursorPlan{rev: e.rev}
	alive := ticketsAlive(w.tickets, now)
	p.expired = len(w.tickets) - len(alive)
	p.leaves, p.left = len(w.leaves), w.leavable(e.confirmed)
	for _, l := range w.leaves {
		if l.sure {
			alive = append(alive, l.ticket)
		}
	}
	alive = ticketsAlive(alive, now) // in order
	for _, o := range w.served {
		start := e.confirmed
		if o.epoch == e.epoch {
			if o.tickets && len(alive) > 0 {
				start = alive[0].Seq
				p.taken = append(p.taken, alive[0])
				alive = alive[1:]
			}
			start = min(start, o.from)
		}
		p.starts = append(p.starts, start)
	}
	alive, p.dropped = ticketsBounded(alive)
	p.record = record{k.epochs.name(e.epoch), e.confirmed, alive}
	if len(p.taken)+p.left > 0 {
		p.name = strconv.FormatUint(rand.Uint64(), 36)
	}
	return p
}

func (k *Cursors) put(e *cursorEntry, p *cursorPlan) {
	e.work.plan = p
	k.writes.puts++
	k.later(func() {
		k.store.put(e.key, p.record, p.rev, p.name, func(rev uint64, err error) {
			k.lock()
			defer k.unlock()
			k.writes.puts--
			k.gotPut(e, p, rev, err)
		})
	})
}

func (k *Cursors) gotPut(e *cursorEntry, p *cursorPlan, rev uint64, err error) {
	w := e.work
	if err == nil && w.plan == p {
		e.rev, w.plan = rev, nil
		k.stored(e, p)
		k.finish(e)
		return
	}
	if err == nil { // the epoch changed meanwhile: what was written is of no use
		k.stats.Writes++
		k.ask(e, k.store.getFromLeader)
		return
	}
	k.mark(e)
	w.misses++
	p.unsure = p.unsure || !errors.Is(err, errCursorConflict)
	late := k.clock()-w.begun > int64(cursorPatience)
	switch {
	case errors.Is(err, errCursorConflict):
		k.stats.Conflicts++
		if late || w.misses > cursorMisses {
			k.fail(e, err)
			return
		}
	case late || errors.Is(err, bus.ErrUnavailable) || len(w.served) == 0:
		k.fail(e, err)
		return
	default:
		k.stats.Failures++
	}
	k.ask(e, k.store.getFromLeader)
}

// stored is called once for each plan that has become true.
func (k *Cursors) stored(e *cursorEntry, p *cursorPlan) {
	w := e.work
	k.stats.Writes++
	k.stats.TicketsMade += uint64(p.left)
	k.stats.TicketsExpired += uint64(p.expired)
	k.stats.TicketsDropped += uint64(p.dropped)
	w.tickets = p.record.tickets
	w.leaves = w.leaves[p.leaves:]
	if !p.orphan {
		k.stats.TicketsTaken += uint64(len(p.taken))
		k.answer(e, p.starts)
		return
	}
	for _, t := range p.taken { // nobody has got them
		w.leaves = append(w.leaves, cursorLeave{ticket: t, sure: true})
		k.soil(e)
	}
}

// answer tells those that are being served where they start.
func (k *Cursors) answer(e *cursorEntry, starts []uint64) {
	w := e.work
	for i, o := range w.served {
		seq, found, epoch := starts[i], e.known, k.epochs.name(e.epoch)
		c := &cursor{entry: e, epoch: o.epoch, tickets: o.tickets}
		switch {
		case found && o.epoch == e.epoch:
			c.started, c.own = true, seq
		case found:
		case w.other != nil:
			seq, found, epoch = w.other.seq, true, w.other.epoch
		default:
			seq, epoch = 0, ""
		}
		k.later(func() { o.done(seq, found, epoch, c, nil) })
	}
	w.served = nil
}

// fail ends what was being done. Those that wait are told; what is unwritten
// stays so, and is tried again.
func (k *Cursors) fail(e *cursorEntry, err error) {
	w := e.work
	k.stats.Failures++
	k.writes.complain(k, err)
	for _, o := range w.served {
		k.leave(e)
		k.later(func() { o.done(0, false, "", nil, err) })
	}
	w.served = nil
	e.read = false
	if p := w.plan; p != nil {
		if p.name == "" {
			w.plan = nil
		} else {
			p.orphan = true
			k.mark(e)
		}
	}
	if e.dirty {
		k.retry(e)
	}
	k.finish(e)
}

// finish goes on to what has come up meanwhile.
func (k *Cursors) finish(e *cursorEntry) {
	w := e.work
	e.busy = false
	if w.write {
		k.writes.running--
		k.wakeUp()
	} else {
		k.reading--
	}
	switch {
	case w.plan != nil:
	case w.leavable(e.confirmed) > 0:
		k.soil(e)
	case !e.dirty:
		w.leaves = nil // none was needed
	}
	if e.dirty && e.again {
		k.hurry(e)
	}
	if e.dirty && !e.soon && !e.queued {
		k.soil(e)
	}
	e.again = false
	if len(w.opens) > 0 {
		k.lineUp(e)
	}
	k.release(e)
	for k.reading < cursorReads && k.line.len() > 0 {
		next, _ := k.line.pop()
		next.lined = false
		if !next.busy && next.work != nil && len(next.work.opens) > 0 {
			k.begin(next, false)
		} else {
			k.release(next)
		}
	}
	k.settled()
}
