package hub

import (
	"fmt"
	"testing"

	"belfry/internal/position"
)

// What two epochs share is the least of what each change between them kept, also
// of those that are not told apart any more.
func TestLineage(t *testing.T) {
	var l lineage
	if got := l.shared("e0", 70); got != 70 {
		t.Errorf("without a reset %d are shared", got)
	}
	const resets = maxLineage + 4
	for i := range resets {
		l.append(position.Mark{Epoch: fmt.Sprint("e", i+1), Seq: uint64(100 + i)})
	}
	if len(l) > maxLineage {
		t.Errorf("%d are kept", len(l))
	}
	newest := fmt.Sprint("e", resets)
	for epoch, want := range map[string]uint64{
		"e0":                      100, // older than what is kept
		fmt.Sprint("e", resets-1): 100 + resets - 1,
		fmt.Sprint("e", resets-3): 100 + resets - 3,
		newest:                    500,
	} {
		if got := l.shared(epoch, 500); got != want {
			t.Errorf("%s shares %d with %s, want %d", epoch, got, newest, want)
		}
	}
}
