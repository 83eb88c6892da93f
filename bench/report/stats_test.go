package report

import (
	"math"
	"testing"

	"belfry/bench/plan"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3, 1}},
		{[]float64{9, 1, 4}, spread{4, 1, 9, 3}},
		{[]float64{4, 1, 9, 2}, spread{3, 1, 9, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("of %v: %+v, want %+v", c.values, got, c.want)
		}
	}
}

// Only rounds that have both count.
func TestRatio(t *testing.T) {
	belfry := map[int]float64{1: 2, 2: 4, 4: 0}
	if got, ok := ratio(map[int]float64{1: 4, 2: 16, 3: 1000, 4: 7}, belfry); !ok || got != 3 {
		t.Errorf("2 and 4 times: %v, %v; want 3", got, ok)
	}
	if _, ok := ratio(map[int]float64{3: 1}, belfry); ok {
		t.Error("a ratio without a round of both")
	}
}

func TestVerdict(t *testing.T) {
	memory := plan.Full().Figures[0].Columns[0]
	for server, want := range map[string]string{"mc": " **missed**", "mc-legacy": " met (2.50)", "centrifuge": ""} {
		if got := verdict(2, memory.MustFor(server), memory.Must); got != want {
			t.Errorf("2 KB of %s is %q, want %q", server, got, want)
		}
	}
}

func TestScale(t *testing.T) {
	s := scaleFor([]float64{0.6, 33}, 0, 100)
	ticks := s.ticks()
	if ticks[0] > 0.6*0.8 || ticks[len(ticks)-1] < 33 {
		t.Errorf("0.6 to 33 are not within %v", ticks)
	}
	if s.at(s.low) != 0 || s.at(s.high) != 100 || math.Abs(s.at(math.Sqrt(s.low*s.high))-50) > 1e-6 {
		t.Errorf("ends and middle are at %v, %v, %v", s.at(s.low), s.at(s.high), s.at(math.Sqrt(s.low*s.high)))
	}
}
