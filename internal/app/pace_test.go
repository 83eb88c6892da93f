package app

import "testing"

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
		{"a load: as much as two seconds make, at most", 200 * mb, 50 * mb, 40 * mb, 250},
		{"marking is spread over several seconds", 24 * mb, 24 * mb, 1 << 30, 75},
	} {
		if got := collectAt(c.rate, c.sustained, c.live); got != c.percent {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.percent)
		}
	}
}
