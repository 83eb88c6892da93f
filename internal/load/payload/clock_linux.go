package payload

import "golang.org/x/sys/unix"

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails only for a clock that there is not
	return t.Nano()
}
