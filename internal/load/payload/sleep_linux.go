package payload

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"belfry/internal/load/raw"
)

// An Alarm wakes one goroutine at times on a clock. It is a timer of the
// system's, on which Go's own poller waits: Go's timers wake up to a millisecond
// late, which would be counted as latency, and a goroutine that sleeps in a
// system call keeps the runtime's monitor awake, which cost a fifth of a core.
type Alarm struct {
	clock Clock
	file  *os.File
	timer syscall.RawConn // file's
	at    int64           // ns, when it is set to
	set   bool            // it was, in this sleep
	err   error
	sleep func(fd uintptr) (done bool)
}

// NewAlarm makes one.
func NewAlarm(c Clock) (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	a := &Alarm{clock: c, file: os.NewFile(uintptr(fd), "timer")}
	if a.timer, err = a.file.SyscallConn(); err != nil {
		_ = a.file.Close()
		return nil, fmt.Errorf("wait for a timer: %w", err)
	}
	a.sleep = func(fd uintptr) bool {
		if !a.set { // the poller waits behind this
			a.set, a.err = true, raw.SetTimer(int(fd), a.at)
			return a.err != nil
		}
		return true // whether it is time the clock tells; that the timer has run out need not be read before it is set anew
	}
	return a, nil
}

// Close gives it back.
func (a *Alarm) Close() { _ = a.file.Close() }

// SleepUntil sleeps until a time in ns; false when ctx has ended. That it looks
// at between two sleeps, of at most a tenth of a second each.
func (a *Alarm) SleepUntil(ctx context.Context, at int64) bool {
	const most = int64(100 * time.Millisecond)
	for now := a.clock.Now(); now < at && ctx.Err() == nil; now = a.clock.Now() {
		a.set, a.at = false, min(at, now+most)
		if err := a.timer.Read(a.sleep); err != nil || a.err != nil {
			return false
		}
	}
	return ctx.Err() == nil
}
