package receive

// A spread counts the publications on one index that have reached every
// connection there: what a publisher that goes flat out waits for, so that it
// never has more under way than it was told.
type spread struct {
	conns uint32   // that are subscribed
	done  uint64   // everything up to here has reached all
	count []uint32 // how many have got done+1, done+2, …
}

// got notes that one connection has received a sequence, and returns how many
// publications are complete by that.
func (s *spread) got(seq uint64) (complete uint64) {
	if seq <= s.done {
		return 0
	}
	at := int(seq - s.done - 1)
	for at >= len(s.count) {
		s.count = append(s.count, 0)
	}
	s.count[at]++
	return s.settle()
}

// leave takes a connection out, and what it has received.
func (s *spread) leave(t *track) (complete uint64) {
	s.conns--
	for i := range s.count {
		if t.has(s.done+1+uint64(i)) && s.count[i] > 0 { // what came before it was subscribed is not counted
			s.count[i]--
		}
	}
	return s.settle()
}

func (s *spread) settle() uint64 {
	n := 0
	for n < len(s.count) && s.count[n] >= s.conns && s.count[n] > 0 {
		n++
	}
	if n > 0 {
		s.count = s.count[:copy(s.count, s.count[n:])]
		s.done += uint64(n)
	}
	return uint64(n)
}
