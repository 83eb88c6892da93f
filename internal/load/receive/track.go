package receive

// A verdict is what a sequence is to a connection.
type verdict uint8

const (
	next       verdict = iota // the one that was to come, or one behind a gap
	late                      // out of a gap
	duplicated                // had it
)

// A track is what a connection has received of sequences that begin at 1:
// everything up to last, but for what is missing.
type track struct {
	last    uint64
	missing map[uint64]struct{} // nil until there is a gap
}

// got notes a sequence.
func (t *track) got(seq uint64) verdict {
	if seq > t.last {
		for s := t.last + 1; s < seq; s++ {
			if t.missing == nil {
				t.missing = make(map[uint64]struct{})
			}
			t.missing[s] = struct{}{}
		}
		t.last = seq
		return next
	}
	if _, ok := t.missing[seq]; !ok {
		return duplicated
	}
	delete(t.missing, seq)
	return late
}

// has tells whether it was received.
func (t *track) has(seq uint64) bool {
	_, gap := t.missing[seq]
	return seq <= t.last && !gap
}

// lost is how many of so many were not received.
func (t *track) lost(published uint64) uint64 {
	n := uint64(len(t.missing))
	if published > t.last {
		n += published - t.last
	}
	return n
}
