package payload

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// SleepUntil sleeps until a time on the clock; false when ctx ended. Go's own
// timers wake up to a millisecond late, which would be counted as latency: the
// last part of it is a system call's.
func (c Clock) SleepUntil(ctx context.Context, at int64) bool {
	const rough = 2 * time.Millisecond
	if left := time.Duration(at - c.Now()); left > 2*rough {
		timer := time.NewTimer(left - rough)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for left := at - c.Now(); left > 0; left = at - c.Now() {
		t := unix.NsecToTimespec(at)
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &t, nil) // a signal ends it early
	}
	return ctx.Err() == nil
}
