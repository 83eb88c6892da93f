package hub

import (
	"sort"

	"belfry/internal/position"
)

// A channel is one shard's part of a channel: its subscribers in that shard and
// what has been published and not yet written to all of them. The shard's mu
// guards it. There is one for each user, most of them idle: what is only needed
// while something is pending is not kept.
type channel struct {
	name  string
	subs  []*subscription
	one   [1]*subscription // the room for the first: most channels are personal
	round *round           // not nil: in one of the shard's lists
}

// A round is a channel's turn of being written to all its subscribers.
type round struct {
	backlog []queued // in order; what was published meanwhile is the next round's
	joins   []join   // of the backlog, made on demand
	next    int32    // the subscribers below it are still to come, once it has begun
	until   uint64   // what is written to all of them when it ends; 0 until it begins
}

// keptBacklog is how long a backlog a round may keep that waits to be used again.
const keptBacklog = 64

// begin gives the channel a round, unless it has one.
func (s *shard) begin(ch *channel) (first bool) {
	if ch.round != nil {
		return false
	}
	if n := len(s.rounds); n > 0 {
		ch.round, s.rounds = s.rounds[n-1], s.rounds[:n-1]
	} else {
		ch.round = &round{}
	}
	return true
}

// end takes the channel's round away. As many are kept as one turn uses.
func (s *shard) end(ch *channel) {
	r := ch.round
	ch.round = nil
	if len(s.rounds) < turnSize && cap(r.backlog) <= keptBacklog {
		s.rounds = append(s.rounds, r)
	}
}

// queued is a publication with its number in the shard's order.
type queued struct {
	number uint64
	entry  *entry
}

// join is a run of the backlog as one piece of bytes.
type join struct {
	encoding    *Encoding
	after, last uint64
	bytes       []byte
}

// kind is the index of the channel's stream.
func (ch *channel) kind() int { return int(position.Of(ch.name)) - 1 }

// last is the number of the newest publication in the backlog, 0 for none.
func (ch *channel) last() uint64 {
	if ch.round == nil || len(ch.round.backlog) == 0 {
		return 0
	}
	return ch.round.backlog[len(ch.round.backlog)-1].number
}

// after returns the part of the backlog behind a number, nearly always all of it.
func (ch *channel) after(number uint64) []queued {
	if ch.round == nil {
		return nil
	}
	backlog := ch.round.backlog
	if len(backlog) == 0 || backlog[0].number > number {
		return backlog
	}
	at := sort.Search(len(backlog), func(i int) bool { return backlog[i].number > number })
	return backlog[at:]
}

// joined returns that part as bytes, joined once for all who need the same.
func (r *round) joined(e *Encoding, pending []queued) []byte {
	if len(pending) == 1 {
		return pending[0].entry.frame(e)
	}
	want := join{encoding: e, after: pending[0].number, last: pending[len(pending)-1].number}
	for _, j := range r.joins {
		if j.encoding == e && j.after == want.after && j.last == want.last {
			return j.bytes
		}
	}
	want.bytes = concat(e, pending)
	if len(r.joins) == maxJoins { // older ones are of no use to who comes later
		r.joins = append(r.joins[:0], r.joins[1:]...)
	}
	r.joins = append(r.joins, want)
	return want.bytes
}

// maxJoins is how many are remembered: the runs in use at one time are as many
// as encodings, times the slices since a round began that saw it grow.
const maxJoins = 4

func concat(e *Encoding, pending []queued) []byte {
	size := 0
	for _, q := range pending {
		size += len(q.entry.frame(e))
	}
	bytes := make([]byte, 0, size)
	for _, q := range pending {
		bytes = append(bytes, q.entry.frame(e)...)
	}
	return bytes
}

// forget drops what has been written to all, and returns how many those were.
func (ch *channel) forget(until uint64) (n int) {
	r := ch.round
	if r == nil {
		return 0
	}
	rest := ch.after(until)
	n = len(r.backlog) - len(rest)
	clear(r.joins)
	r.joins = r.joins[:0]
	kept := copy(r.backlog, rest)
	clear(r.backlog[kept:])
	r.backlog = r.backlog[:kept]
	return n
}
