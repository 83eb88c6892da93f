package journal

import (
	"cmp"
	"slices"
	"time"
)

const (
	// ticketLife is how long a connection that broke off has to come back to
	// where it was.
	ticketLife = 5 * time.Minute

	// ticketsMax bounds a record: a user has that many connections that broke
	// off within ticketLife. Of more, those that missed least are given up.
	ticketsMax = 16
)

// A ticket is where a connection stood that broke off: the next one of the
// same user that brings no position takes it, and starts there.
type ticket struct {
	Seq   uint64 `json:"seq"`   // its last confirmed sequence
	Until int64  `json:"until"` // s since 1970
}

func newTicket(seq uint64, now time.Time) ticket {
	return ticket{seq, now.Add(ticketLife).Unix()}
}

// clamped is the ticket in an epoch that has no more of this one than up to shared.
func (t ticket) clamped(shared uint64) ticket { return ticket{min(t.Seq, shared), t.Until} }

// ticketsAlive returns those that can still be taken, the oldest first.
func ticketsAlive(all []ticket, now time.Time) []ticket {
	var alive []ticket
	for _, t := range all {
		if t.Until > now.Unix() {
			alive = append(alive, t)
		}
	}
	slices.SortFunc(alive, func(a, b ticket) int {
		return cmp.Or(cmp.Compare(a.Until, b.Until), cmp.Compare(a.Seq, b.Seq))
	})
	return alive
}

// ticketsBounded gives up the tickets beyond ticketsMax, the highest first:
// what a connection misses without one is what lies between it and the record.
func ticketsBounded(all []ticket) (kept []ticket, dropped int) {
	if len(all) <= ticketsMax {
		return all, 0
	}
	kept = slices.Clone(all)
	slices.SortFunc(kept, func(a, b ticket) int { return cmp.Compare(a.Seq, b.Seq) })
	return kept[:ticketsMax], len(all) - ticketsMax
}
