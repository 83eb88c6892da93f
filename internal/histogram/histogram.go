// Package histogram counts how long things took, in buckets that are the same
// everywhere, so that a dashboard can lay one over another. It is a leaf.
package histogram

import (
	"sync/atomic"
	"time"
)

// Bounds are the buckets' upper bounds; what took longer than the last is in
// one of its own.
var Bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// A Histogram's zero value is empty. All methods may be called at any time.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Observe counts d. What is below 0, which two clocks can make of it, is 0. It
// allocates nothing and takes no lock.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// A Snapshot is what a histogram had counted.
type Snapshot struct {
	Counts [len(Bounds) + 1]uint64 // by bucket, not cumulative
	Sum    time.Duration
}

// Snapshot reads the counters. One that is counted meanwhile may be in Counts
// and not yet in Sum.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Count is how many there were.
func (s *Snapshot) Count() (n uint64) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

// Cumulative is, for each bound in seconds, how many took no longer.
func (s *Snapshot) Cumulative() map[float64]uint64 {
	upTo, n := make(map[float64]uint64, len(Bounds)), uint64(0)
	for i, bound := range Bounds {
		n += s.Counts[i]
		upTo[bound.Seconds()] = n
	}
	return upTo
}
