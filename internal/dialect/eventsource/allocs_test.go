//go:build !race

package eventsource

import "testing"

// A block is one allocation, made to measure.
func TestAllocsOfEncoding(t *testing.T) {
	for name, p := range samples() {
		if n := testing.AllocsPerRun(1000, func() { encode(p, p.At, isPersonal(p.Channel)) }); n != 1 {
			t.Errorf("%s: %v allocations, want 1", name, n)
		}
	}
}
