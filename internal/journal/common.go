package journal

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// known is a sequence that was applied, and when it had been stored.
type known struct {
	seq  uint64
	time int64
}

// anchors is how many of the newest messages are remembered though they may
// have left the stream, and with it the ring.
const anchors = 256

// remember keeps a message as one to compare with.
func (s *sequencer) remember(m *message) {
	if len(s.anchors) < anchors {
		s.anchors = append(s.anchors, known{m.seq, m.time})
		return
	}
	s.anchors[s.oldest] = known{m.seq, m.time}
	s.oldest = (s.oldest + 1) % anchors
}

// newestKnown are the newest n messages up to a sequence that are remembered or
// that the ring has, from the newest down.
func (s *sequencer) newestKnown(q question, upTo uint64, n int) (found []known) {
	for _, k := range q.anchors {
		if k.seq <= upTo {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b known) int { return cmp.Compare(b.seq, a.seq) })
	lowest := upTo + 1
	if len(found) > 0 {
		lowest = found[len(found)-1].seq
	}
	if len(found) < n {
		s.ring.newest(func(seq uint64, at int64) bool {
			if seq < lowest {
				found = append(found, known{seq, at})
			}
			return len(found) < n
		})
	}
	return found[:min(n, len(found))]
}

// timeOf is when the message of a sequence was stored, as far as we know.
func (s *sequencer) timeOf(q question, seq uint64) (int64, bool) {
	for _, k := range q.anchors {
		if k.seq == seq {
			return k.time, true
		}
	}
	return s.ring.timeOf(seq)
}

// A likeness says whether the stream has at a sequence what we have.
type likeness uint8

const (
	untold likeness = iota // it has nothing there any more
	alike
	unlike
)

// liken compares at the first message that the leader has at or above k's
// sequence, if that is not above upTo. It returns that message's sequence.
func (s *sequencer) liken(ctx context.Context, q question, k known, upTo uint64) (likeness, uint64, error) {
	m, err := s.fetch.leaderAfter(ctx, s.name, k.seq-1)
	if errors.Is(err, errGone) {
		return untold, 0, nil
	}
	if err != nil || m.seq > upTo {
		return untold, 0, err
	}
	return s.likeness(q, m), m.seq, nil
}

func (s *sequencer) likeness(q question, m message) likeness {
	at, ok := s.timeOf(q, m.seq)
	switch {
	case !ok:
		return untold
	case at == m.time:
		return alike
	}
	return unlike
}

// same tells whether the stream has the same message as we had, at the newest
// sequence up to one that both have.
func (s *sequencer) same(ctx context.Context, q question, upTo uint64) (bool, error) {
	for n := 1; ; n *= 8 {
		have := s.newestKnown(q, upTo, n)
		if len(have) == 0 {
			return true, nil
		}
		how, _, err := s.liken(ctx, q, have[len(have)-1], upTo)
		if err != nil {
			return false, err
		}
		if how != untold || len(have) < n {
			return how != unlike, nil
		}
	}
}

// shared is up to where another history of the stream has the same messages as
// the one that we know. What comes above is to be delivered.
func (s *sequencer) shared(ctx context.Context, q question, now standing) (uint64, error) {
	have := s.newestKnown(q, q.trusted, ringEntries)
	// have[:low] is not in common, as far as can be told; have[high:] is.
	low, high, found := 0, len(have), uint64(0)
	for low < high {
		middle := (low + high) / 2
		how, seq, err := s.liken(ctx, q, have[middle], q.trusted)
		if err != nil {
			return 0, err
		}
		if how == alike {
			high, found = middle, max(found, seq)
		} else {
			low = middle + 1
		}
	}
	another := strconv.FormatInt(now.created.UnixNano(), 36) != createdOf(q.epoch)
	switch {
	case high == 0 && len(have) > 0: // all that is trusted
		return s.sharedAbove(ctx, q, found)
	case found > 0:
		return found, nil
	case another:
		return now.first - 1, nil
	case len(have) == 0:
		return s.sharedAbove(ctx, q, min(q.trusted, now.last))
	}
	return s.before(ctx, have[0].time, now)
}

// sharedAbove goes on above a sequence that is in common, message by message:
// what was taken and is not trusted may be of either history, and of one after
// the other.
func (s *sequencer) sharedAbove(ctx context.Context, q question, found uint64) (uint64, error) {
	for at := found; at < q.at; {
		msgs, _, err := s.fetch.after(ctx, s.name, at, pollBatch)
		if err != nil {
			return 0, err
		}
		for _, m := range msgs {
			if m.seq > q.at || s.likeness(q, m) != alike {
				return found, nil
			}
			found, at = m.seq, m.seq
		}
		if len(msgs) == 0 {
			return found, nil
		}
	}
	return found, nil
}

// before is the last sequence of the stream that was stored no later than at:
// a copy may be older than all that the ring has.
func (s *sequencer) before(ctx context.Context, at int64, now standing) (uint64, error) {
	low, high := now.first, now.last+1 // the first later one is in [low, high]
	for low < high {
		middle := low + (high-low)/2
		m, err := s.fetch.leaderAfter(ctx, s.name, middle-1)
		switch {
		case errors.Is(err, errGone) || err == nil && m.time > at:
			high = middle
		case err != nil:
			return 0, err
		default:
			low = m.seq + 1
		}
	}
	return low - 1, nil
}

// createdOf is the part of an epoch that says when the stream was created.
func createdOf(epoch string) string {
	created, _, _ := strings.Cut(epoch, ".")
	return created
}
