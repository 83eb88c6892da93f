package journal

import "belfry/internal/hub"

// A cursorEntry is one record's copy. mu of its Cursors guards it.
type cursorEntry struct {
	k         *Cursors
	key       string
	confirmed uint64      // valid with known
	rev       uint64      // of what is stored, as far as we know
	work      *cursorWork // nil while there is none: of most
	epoch     uint32      // of confirmed
	conns     int32

	known  bool // there is a confirmed in this epoch
	read   bool // rev is what was last read or written, and the tickets are
	dirty  bool // confirmed or leaves are to be written
	busy   bool // a question is under way; at most one per entry
	lined  bool // in line
	queued bool // in writes.lazy or writes.retry
	soon   bool // in writes.soon
	again  bool // was to be written while busy
}

// A cursorWork is what an entry needs only while something is going on.
type cursorWork struct {
	opens  []cursorOpen // wait for the next read
	served []cursorOpen // the read under way is for them

	tickets []ticket      // that are stored
	leaves  []cursorLeave // that are not
	plan    *cursorPlan   // what is being written, or was with an unknown outcome
	other   *record       // what is stored, where it is of another epoch

	since  int64 // since when something has been unwritten, by Cursors.clock
	begun  int64 // when this began
	write  bool  // write, even if nobody waits for it
	sure   bool  // that the stream is of the entry's epoch still
	misses int   // how often somebody else was first
}

// A cursorOpen is a connection that waits to be told where it starts.
type cursorOpen struct {
	epoch   uint32
	from    uint64 // it starts no later
	tickets bool
	done    func(seq uint64, found bool, epoch string, c hub.Cursor, err error)
}

// A cursorLeave is a ticket that is to be left: one that is not sure only if
// another gateway's connection turns out to have received more.
type cursorLeave struct {
	ticket
	sure    bool
	carried bool // from a record of an epoch before, as another gateway may do too
}

func (e *cursorEntry) working() *cursorWork {
	if e.work == nil {
		e.work = &cursorWork{}
	}
	return e.work
}

// join and leave count an entry's connections, those that wait included.
func (k *Cursors) join(e *cursorEntry) {
	if e.conns == 0 {
		k.connected++
	}
	e.conns++
}

func (k *Cursors) leave(e *cursorEntry) {
	e.conns--
	if e.conns == 0 {
		k.connected--
		k.tellVacant()
	}
}

// release forgets what is not needed any more.
func (k *Cursors) release(e *cursorEntry) {
	if e.busy || e.lined {
		return
	}
	if w := e.work; w != nil && len(w.opens)+len(w.tickets)+len(w.leaves) == 0 && w.plan == nil {
		e.work = nil
	}
	if e.conns > 0 {
		return
	}
	if e.dirty {
		if len(k.table)-k.connected <= cursorOrphans {
			return
		}
		k.lose(e)
	}
	delete(k.table, e.key)
}

// lose gives up what is unwritten of a user that is gone.
func (k *Cursors) lose(e *cursorEntry) {
	k.clean(e)
	k.stats.Lost++
	if k.stats.Lost == 1 {
		k.log.Error("delivered cursors are given up: too many users left while they could not be written; they will get again what they have", "unwritten", cursorOrphans)
	}
}

// adopt moves an entry to the stream's present epoch, and not back to one before.
// What was confirmed in another, and what tickets stand for, is the same in this one
// as far as both have the same history; where that is not known it is nothing.
func (k *Cursors) adopt(e *cursorEntry, epoch uint32) {
	if e.epoch == epoch {
		return
	}
	now, then := k.epochs.name(epoch), k.epochs.name(e.epoch)
	if _, back := k.epochs.shared(now, then); back {
		return
	}
	shared, known := k.epochs.shared(then, now)
	e.epoch, e.read = epoch, false
	if w := e.work; w != nil {
		leaves := w.leaves
		if w.plan != nil {
			for _, t := range w.plan.taken { // by a write that says nothing of this epoch
				leaves = append(leaves, cursorLeave{ticket: t})
			}
		}
		w.tickets, w.leaves, w.plan = nil, nil, nil
		for _, l := range leaves {
			if known && e.known {
				w.leaves = append(w.leaves, cursorLeave{ticket: l.clamped(shared), sure: true})
			}
		}
	}
	if e.known = e.known && known; e.known {
		e.confirmed = min(e.confirmed, shared)
		k.soil(e)
	} else {
		e.confirmed = 0
	}
}

// confirm raises what the user has. It never lowers it.
func (k *Cursors) confirm(e *cursorEntry, epoch uint32, seq uint64) {
	if epoch != e.epoch {
		k.stats.Stale++
		return
	}
	if e.known && seq <= e.confirmed {
		return
	}
	e.known, e.confirmed = true, seq
	k.soil(e)
}
