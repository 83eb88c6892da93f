//go:build !race

package transport

import "testing"

// What is on a connection's way for every message allocates nothing. The race
// detector allocates by itself, so that `make allocs` runs these without it.
func TestAllocsOfReading(t *testing.T) {
	for name, f := range map[string]*feeder{
		"a text message":   newFeeder(OpText, 64),
		"a binary message": newFeeder(OpBinary, 1000),
		"a pong":           newFeeder(opPong, 0),
		"a fence's pong":   newFeeder(opPong, 1),
	} {
		f.conn.server = &Server{}
		read := func() {
			f.conn.heard()
			f.conn.guard(f.feed)
		}
		if n := testing.AllocsPerRun(1000, read); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
		if f.conn.isClosing() {
			t.Errorf("%s was refused", name)
		}
	}
}
