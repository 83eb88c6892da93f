package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/bus"
)

const (
	// cursorEvery is how often a user's record is written at most while the
	// connection goes on.
	cursorEvery = 5 * time.Second

	// cursorRate bounds those writes per second, for all users of this gateway
	// together. Beyond it they become older than cursorEvery. A write on
	// disconnect does not count: cursorWriting bounds those.
	cursorRate = 4000

	// cursorWriting bounds the writes that wait for their ack.
	cursorWriting = 256

	// cursorAgain is when a write that failed is tried again.
	cursorAgain = time.Second

	// cursorTick is how finely writes are spread.
	cursorTick = 50 * time.Millisecond

	// cursorRepair is how often the bucket is looked for where nobody answers
	// for it, and cursorComplain how often a failure is logged.
	cursorRepair   = 5 * time.Second
	cursorComplain = time.Minute
)

// cursorWrites is what is unwritten. Each line is in the order in which its
// items came; an item whose entry is clean by then means nothing.
type cursorWrites struct {
	now   cursorFIFO[cursorItem] // of connections that ended
	lazy  cursorFIFO[cursorItem] // due cursorEvery after since
	retry cursorFIFO[cursorItem] // due cursorAgain after they failed

	dirty    int // entries
	running  int // entries that are being written
	puts     int // writes under way
	tokens   float64
	filled   time.Time // when tokens were counted
	flushing int
	waiting  []chan struct{} // closed when nothing is unwritten

	missing    bool // nobody answers for the bucket
	repaired   time.Time
	complained time.Time
}

type cursorItem struct {
	entry *cursorEntry
	since int64 // since when the entry has been dirty, by Cursors.clock
	due   int64
}

// soil notes that an entry is to be written, by and by.
func (k *Cursors) soil(e *cursorEntry) {
	k.mark(e)
	if !e.queued {
		now := k.clock()
		e.queued = true
		k.writes.lazy.push(cursorItem{e, now, now + int64(cursorEvery)})
	}
}

// mark and clean say whether an entry is to be written, without seeing to it.
func (k *Cursors) mark(e *cursorEntry) {
	if e.dirty {
		return
	}
	e.dirty = true
	k.writes.dirty++
	if k.writes.dirty == 1 {
		k.wakeUp()
	}
}

func (k *Cursors) clean(e *cursorEntry) {
	if e.dirty {
		e.dirty = false
		k.writes.dirty--
	}
}

// hurry has an entry written as soon as there is room.
func (k *Cursors) hurry(e *cursorEntry) {
	if e.soon {
		return
	}
	e.soon = true
	k.writes.now.push(cursorItem{entry: e, since: k.clock()})
	k.wakeUp()
}

// retry has an entry written a while from now, after that failed.
func (k *Cursors) retry(e *cursorEntry) {
	k.mark(e)
	if !e.queued {
		e.queued = true
		k.writes.retry.push(cursorItem{e, e.work.since, k.clock() + int64(cursorAgain)})
	}
}

func (k *Cursors) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes what is due until Close.
func (k *Cursors) run() {
	defer close(k.gone)
	var repairs sync.WaitGroup
	defer repairs.Wait()
	var repairing atomic.Bool
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		if k.step() {
			tick.Reset(cursorTick)
		} else {
			tick.Stop()
		}
		select {
		case <-k.wake:
		case <-tick.C:
		case <-k.ctx.Done():
			return
		}
		// On its own: a bucket without a leader is asked for in vain for seconds, and
		// what is due is to be written as soon as there is one.
		if k.broken() && repairing.CompareAndSwap(false, true) {
			repairs.Go(func() {
				defer repairing.Store(false)
				k.repair(k.ctx)
			})
		}
	}
}

// step starts the writes that are due, as far as there is room, and tells
// whether something is left.
func (k *Cursors) step() (more bool) {
	k.lock()
	defer k.unlock()
	w := &k.writes
	k.settled()
	if w.dirty == 0 || k.away() {
		return w.dirty > 0
	}
	for w.running < cursorWriting {
		item, ok := w.now.pop()
		if !ok {
			break
		}
		item.entry.soon = false
		k.start(item)
	}
	now, clock := k.now(), k.clock()
	w.refill(now)
	for _, line := range []*cursorFIFO[cursorItem]{&w.retry, &w.lazy} {
		for w.running < cursorWriting && (w.tokens >= 1 || w.flushing > 0) {
			item, ok := line.peek()
			early := ok && item.due > clock && (w.flushing == 0 || line == &w.retry)
			if !ok || early && item.entry.dirty {
				break
			}
			line.pop()
			item.entry.queued = false
			if !early && k.start(item) {
				w.tokens = max(0, w.tokens-1)
			}
		}
	}
	return true
}

// start begins to write an entry, if it is still to be written.
func (k *Cursors) start(item cursorItem) bool {
	e := item.entry
	if !e.dirty {
		return false
	}
	if e.busy {
		e.again = true
		return false
	}
	e.working().since = item.since
	k.begin(e, true)
	return true
}

func (w *cursorWrites) refill(now time.Time) {
	w.tokens += cursorRate * max(0, now.Sub(w.filled).Seconds())
	w.tokens = min(w.tokens, cursorRate*2*cursorTick.Seconds())
	w.filled = now
}

// Flush writes all that is unwritten, and returns when that is done or ctx
// ends. The connections should have been closed before: what is confirmed
// meanwhile is written too.
func (k *Cursors) Flush(ctx context.Context) error {
	done := make(chan struct{})
	k.lock()
	k.writes.flushing++
	k.writes.waiting = append(k.writes.waiting, done)
	k.settled()
	k.unlock()
	k.wakeUp()
	defer func() {
		k.mu.Lock()
		k.writes.flushing--
		k.mu.Unlock()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write the delivered cursors: %d are unwritten: %w", k.Stats().Dirty, context.Cause(ctx))
	}
}

// settled tells those that wait in Flush when nothing is left.
func (k *Cursors) settled() {
	if k.writes.dirty > 0 || k.writes.puts > 0 {
		return
	}
	for _, done := range k.writes.waiting {
		close(done)
	}
	k.writes.waiting = nil
}

// vacated returns when no connection has a cursor or waits for one, or ctx ends.
func (k *Cursors) vacated(ctx context.Context) {
	vacant := make(chan struct{})
	k.mu.Lock()
	k.vacant = append(k.vacant, vacant)
	k.tellVacant()
	k.mu.Unlock()
	select {
	case <-vacant:
	case <-ctx.Done():
	}
}

func (k *Cursors) tellVacant() {
	if k.connected > 0 {
		return
	}
	for _, vacant := range k.vacant {
		close(vacant)
	}
	k.vacant = nil
}

// complain logs a failure, not each of them.
func (w *cursorWrites) complain(k *Cursors, err error) {
	now := k.now()
	if errors.Is(err, bus.ErrUnavailable) {
		w.missing = true
		k.wakeUp()
	}
	if now.Sub(w.complained) < cursorComplain {
		return
	}
	w.complained = now
	k.log.Warn("a delivered cursor can't be read or written: it is tried again, and connections that wait for theirs are refused", "unwritten", w.dirty, "err", err)
}

// broken tells whether the bucket is to be looked for.
func (k *Cursors) broken() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.writes.missing && !k.away() && k.now().Sub(k.writes.repaired) >= cursorRepair
}

// repair makes the bucket anew where it is gone under us.
func (k *Cursors) repair(ctx context.Context) {
	if !k.broken() {
		return
	}
	k.mu.Lock()
	k.writes.missing, k.writes.repaired = false, k.now()
	k.mu.Unlock()
	if err := k.ensure(ctx); err != nil {
		k.log.Warn("the bucket of delivered cursors is not fit for use", "err", err)
	}
}
