package hub

import (
	"sort"

	"belfry/internal/position"
)

// A channel is one shard's part of a channel: its subscribers in that shard and
// what has been published and not yet written to all of them. The shard's mu
// guards it.
type channel struct {
	name    string
	subs    []*subscription
	one     [1]*subscription // the room for the first: most channels are personal
	backlog []queued         // in order
	joins   []join           // of the backlog, made on demand
	next    int32            // in a round: the subscribers below it are still to come
	until   uint64           // in a round: what is written to all of them when it ends
	pending bool             // in one of the shard's lists
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
	if len(ch.backlog) == 0 {
		return 0
	}
	return ch.backlog[len(ch.backlog)-1].number
}

// after returns the part of the backlog behind a number, nearly always all of it.
func (ch *channel) after(number uint64) []queued {
	if len(ch.backlog) == 0 || ch.backlog[0].number > number {
		return ch.backlog
	}
	at := sort.Search(len(ch.backlog), func(i int) bool { return ch.backlog[i].number > number })
	return ch.backlog[at:]
}

// joined returns that part as bytes, joined once for all who need the same.
func (ch *channel) joined(e *Encoding, pending []queued) []byte {
	if len(pending) == 1 {
		return pending[0].entry.frame(e)
	}
	want := join{encoding: e, after: pending[0].number, last: pending[len(pending)-1].number}
	for _, j := range ch.joins {
		if j.encoding == e && j.after == want.after && j.last == want.last {
			return j.bytes
		}
	}
	want.bytes = concat(e, pending)
	if len(ch.joins) == maxJoins { // older ones are of no use to who comes later
		ch.joins = append(ch.joins[:0], ch.joins[1:]...)
	}
	ch.joins = append(ch.joins, want)
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
	rest := ch.after(until)
	n = len(ch.backlog) - len(rest)
	ch.joins = nil
	if len(rest) == 0 {
		ch.backlog = nil
		return n
	}
	kept := copy(ch.backlog, rest)
	clear(ch.backlog[kept:])
	ch.backlog = ch.backlog[:kept]
	return n
}
