package verify

import (
	"testing"
	"time"
)

// Clocks are wrong by hours, both ways and at both gateways, one after the other
// and while one of them is killed; clients notice nothing of it.
func TestStepsOfTheClock(t *testing.T) {
	o := options(t, R1, 6, 25*time.Second)
	rec := newRecord(o.Say)
	s, err := startSystem(t.Context(), rec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	clock := func(part int, after, hold, off time.Duration) fault {
		return fault{kind: stepClock, part: part, after: after * time.Second, hold: hold * time.Second, off: off}
	}
	kill := func(part int, after time.Duration) fault {
		return fault{kind: killGateway, part: part, after: after * time.Second, hold: 100 * time.Millisecond}
	}
	turns := []turn{
		{clock(1, 0, 2, time.Hour), clock(0, 0, 1, -2*time.Hour)},
		{clock(1, 0, 1, 3*time.Hour), kill(1, 9)}, // what was due by the wrong clock was not written
		{clock(1, 0, 2, -time.Hour), kill(1, 1)},  // it starts with it
	}
	r := &run{Options: o, rec: rec, system: s}
	r.plan = func() (rest time.Duration, next turn) {
		if len(turns) == 0 {
			return o.Duration, nil
		}
		next, turns = turns[0], turns[1:]
		return time.Second, next
	}
	report, err := r.run(t.Context())
	if err != nil {
		t.Error(err)
	}
	kept(t, report)
	if n := report.Counts["fault: "+string(stepClock)]; n != 4 {
		t.Errorf("the clock was stepped %d times", n)
	}
}
