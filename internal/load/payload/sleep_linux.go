package payload

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Alarm wakes one goroutine at times on a clock. It is a timer of the
// system's, on which Go's own poller waits: Go's timers wake up to a millisecond
// late, which would be counted as latency, and a goroutine that sleeps in a
// system call keeps the runtime's monitor awake, which cost a fifth of a core.
type Alarm struct {
	clock Clock
	fd    int
	file  *os.File
	buf   [8]byte
}

// NewAlarm makes one.
func NewAlarm(c Clock) (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	return &Alarm{clock: c, fd: fd, file: os.NewFile(uintptr(fd), "timer")}, nil
}

// Close gives it back.
func (a *Alarm) Close() { _ = a.file.Close() }

// SleepUntil sleeps until a time in ns; false when ctx has ended. That it looks
// at between two sleeps, of at most a tenth of a second each.
func (a *Alarm) SleepUntil(ctx context.Context, at int64) bool {
	const most = int64(100 * time.Millisecond)
	for now := a.clock.Now(); now < at && ctx.Err() == nil; now = a.clock.Now() {
		when := unix.ItimerSpec{Value: unix.NsecToTimespec(min(at, now+most))}
		if unix.TimerfdSettime(a.fd, unix.TFD_TIMER_ABSTIME, &when, nil) != nil {
			return false
		}
		if _, err := a.file.Read(a.buf[:]); err != nil {
			return false
		}
	}
	return ctx.Err() == nil
}
