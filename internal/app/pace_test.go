package app

import (
	"slices"
	"testing"
	"time"
)

func TestCollectAt(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name                  string
		rate, sustained, live uint64
		percent               int
	}{
		{"quiet", 100 << 10, 0, 30 * mb, leastPercent},
		{"nothing in use yet", 0, 0, 0, leastPercent},
		{"as much as half a second makes", 10 * mb, 10 * mb, 10 * mb, 50},
		{"a storm: as much as is in use, at most", 100 * mb, 10 * mb, 40 * mb, 100},
		{"the same, and little is in use", 200 * mb, 0, 4 * mb, 400},
		{"a load, and much is in use", 100 * mb, 100 * mb, 40 * mb, 312},
		{"a load that makes very much", 800 * mb, 800 * mb, 64 * mb, 200},
		{"the same, and much is in use", 800 * mb, 800 * mb, 400 * mb, 100},
		{"marking is spread over several seconds", 24 * mb, 0, 1 << 30, 25},
	} {
		if got := collectAt(c.rate, c.sustained, c.live); got != c.percent {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.percent)
		}
	}
}

// A second is what the pacer is told of one, and what it is to say.
type second struct {
	mb      uint64 // allocated in it
	percent int
	release bool
}

func TestPacer(t *testing.T) {
	const mb = 1 << 20
	start := []second{{10, 0, false}, {0, 10, false}}
	quiet := func(n int) []second { return make([]second, n) }
	for _, c := range []struct {
		name    string
		live    uint64
		seconds []second
	}{
		{"nothing comes", 4, slices.Concat(start, quiet(20))},
		{"a storm is over within seconds", 40, slices.Concat(start,
			[]second{{100, 100, false}, {100, 0, false}, {100, 0, false}, {0, 10, true}}, quiet(20))},
		{"a load that stays", 40, slices.Concat(start,
			[]second{{100, 100, false}, {100, 0, false}, {100, 0, false}, {100, 312, false}, {90, 0, false}, {40, 125, false}})},
		{"one that comes and goes", 40, slices.Concat(start,
			[]second{{100, 100, false}, {0, 10, true}, {100, 100, false}, {0, 10, false}, {100, 100, false}, {0, 10, false}, {0, 0, true}})},
		{"again, but not soon", 40, slices.Concat(start,
			[]second{{50, 62, false}, {0, 10, true}, {50, 62, false}, {0, 10, false}}, quiet(2), []second{{0, 0, true}}, quiet(20))},
		{"later where much is in use", 320, slices.Concat(start,
			[]second{{50, 52, false}, {0, 10, true}, {50, 52, false}, {0, 10, false}}, quiet(17), []second{{0, 0, true}})},
		{"upkeep is no load", 40, slices.Concat(start, []second{{10, 12, false}, {2, 0, false}}, quiet(20))},
	} {
		p, now, allocated := newPacer(), time.Unix(1e9, 0), uint64(0)
		for i, s := range c.seconds {
			now, allocated = now.Add(time.Second), allocated+s.mb*mb
			if percent, release := p.step(now, allocated, c.live*mb); percent != s.percent || release != s.release {
				t.Errorf("%s: second %d: %d %%, given back: %v; want %d, %v", c.name, i, percent, release, s.percent, s.release)
			}
		}
	}
	// A step that comes late, and the next soon after it.
	p, now := newPacer(), time.Unix(1e9, 0)
	p.step(now, 0, 40*mb)
	p.step(now.Add(1900*time.Millisecond), 190*mb, 40*mb)
	p.step(now.Add(2*time.Second), 200*mb, 40*mb)
	if p.rates[sustainedFor-1] != p.rates[sustainedFor-2] || p.rates[sustainedFor-1] != 100*mb {
		t.Errorf("rates %v", p.rates)
	}
}
