package wall

import (
	"testing"
	"time"
)

func TestTheClockSteps(t *testing.T) {
	t.Cleanup(func() { Set(0) })
	for _, d := range []time.Duration{0, time.Hour, -3 * time.Hour, 0} {
		Set(d)
		before := time.Now().Round(0).Add(d)
		now := Now()
		if after := time.Now().Round(0).Add(d); now.Before(before) || now.After(after) {
			t.Errorf("off by %v: %v, which is not from %v to %v", d, now, before, after)
		}
	}
}
