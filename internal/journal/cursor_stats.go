package journal

import "time"

// CursorStats is what there is to count of the delivered cursors.
type CursorStats struct {
	Users  int           // with a connection that confirms
	Dirty  int           // users of whom something is unwritten, or just being written
	Oldest time.Duration // about how long the oldest of it has been
	Line   int           // users whose record waits to be read

	Reads, Writes, Conflicts uint64
	// Failures were tried again, or a connection was told.
	Failures uint64
	// Malformed records were taken for none.
	Malformed uint64
	// Stale confirms were of an epoch that is over.
	Stale uint64
	// Lost users' changes were given up, because too many were unwritten.
	Lost uint64

	TicketsMade, TicketsTaken, TicketsExpired uint64
	// TicketsDropped were beyond what a record holds.
	TicketsDropped uint64
}

// Stats reads the counters.
func (k *Cursors) Stats() CursorStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.stats
	s.Users, s.Dirty, s.Line = k.connected, k.writes.dirty+k.writes.puts, k.line.len()
	oldest := k.clock()
	for _, line := range []*cursorFIFO[cursorItem]{&k.writes.now, &k.writes.retry, &k.writes.lazy} {
		if since, ok := oldestDirty(line); ok {
			oldest = min(oldest, since)
		}
	}
	s.Oldest = time.Duration(k.clock() - oldest)
	return s
}

// oldestDirty looks past items that have been written meanwhile.
func oldestDirty(line *cursorFIFO[cursorItem]) (since int64, ok bool) {
	for _, item := range line.items[line.head:] {
		if item.entry.dirty {
			return item.since, true
		}
	}
	return 0, false
}
