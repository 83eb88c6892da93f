//go:build !race

package messagechannel

import (
	"testing"
	"time"

	"belfry/internal/hub"
)

// A frame is one allocation, made to measure.
func TestAllocsOfEncoding(t *testing.T) {
	for _, class := range []hub.Class{hub.JSON, hub.Text, hub.Binary} {
		p := &hub.Publication{Payload: make([]byte, 500), Class: class}
		if n := testing.AllocsPerRun(1000, func() { encode(p) }); n != 1 {
			t.Errorf("class %v: %v allocations, want 1", class, n)
		}
	}
}

// What is written and confirmed is noted without an allocation.
func TestAllocsOfAFence(t *testing.T) {
	var f fence
	f.open(noCursor{})
	mark, now := uint64(0), time.Duration(0)
	pass := func() {
		mark++
		now += fenceEvery
		if ping := f.write(mark, now); !ping {
			t.Fatal("no ping is set")
		}
		f.passed()
	}
	if n := testing.AllocsPerRun(1000, pass); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
