package histogram

import (
	"slices"
	"testing"
	"time"
)

func TestObserve(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-time.Second, 0, 500 * time.Microsecond, 500*time.Microsecond + 1, 30 * time.Second, time.Hour} {
		h.Observe(d)
	}
	s := h.Snapshot()
	want := [len(Bounds) + 1]uint64{0: 3, 1: 1, len(Bounds) - 1: 1, len(Bounds): 1}
	if s.Counts != want {
		t.Errorf("counted %v, want %v", s.Counts, want)
	}
	if want := time.Hour + 30*time.Second + time.Millisecond + 1; s.Sum != want {
		t.Errorf("the sum is %v, want %v", s.Sum, want)
	}
	if n := s.Count(); n != 6 {
		t.Errorf("%d in all, want 6", n)
	}
	upTo := s.Cumulative()
	if len(upTo) != len(Bounds) || upTo[0.0005] != 3 || upTo[0.001] != 4 || upTo[10] != 4 || upTo[30] != 5 {
		t.Errorf("cumulative: %v", upTo)
	}
}

func TestBoundsAscend(t *testing.T) {
	if !slices.IsSorted(Bounds[:]) {
		t.Errorf("%v", Bounds)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(3 * time.Millisecond)
	}
}
