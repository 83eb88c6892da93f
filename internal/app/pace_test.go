package app

import "testing"

func TestCollectAt(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name       string
		rate, live uint64
		percent    int
	}{
		{"quiet", 100 << 10, 30 * mb, leastPercent},
		{"nothing in use yet", 0, 0, leastPercent},
		{"as much as half a second makes", 20 * mb, 20 * mb, 50},
		{"Go's own, at most, where much is in use", 100 * mb, 40 * mb, 100},
		{"more, where little is in use", 200 * mb, 4 * mb, 400},
		{"marking is spread over several seconds", 48 * mb, 1 << 30, 50},
	} {
		if got := collectAt(c.rate, c.live); got != c.percent {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.percent)
		}
	}
}
