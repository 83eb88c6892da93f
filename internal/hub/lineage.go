package hub

import (
	"slices"

	"belfry/internal/position"
)

// A lineage is how a stream's epochs followed one another: for each reset the new
// epoch, and up to where it is the same as the one before. The newest is last.
type lineage []position.Mark

// maxLineage is how many resets are told apart. Nobody waits for its place while
// more of them go by; to who did, all older ones are one.
const maxLineage = 8

func (l *lineage) append(m position.Mark) {
	if len(*l) == maxLineage {
		(*l)[1].Seq = min((*l)[0].Seq, (*l)[1].Seq)
		*l = slices.Delete(*l, 0, 1)
	}
	*l = append(*l, m)
}

// shared is up to where an epoch is the same as the present one, which has seq.
func (l lineage) shared(epoch string, seq uint64) uint64 {
	for i := len(l) - 1; i >= 0 && l[i].Epoch != epoch; i-- {
		seq = min(seq, l[i].Seq)
	}
	return seq
}
