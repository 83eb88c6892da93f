//go:build !linux

package payload

import (
	"context"
	"time"
)

// An Alarm wakes one goroutine at times on a clock.
type Alarm struct{ clock Clock }

// NewAlarm makes one.
func NewAlarm(c Clock) (*Alarm, error) { return &Alarm{c}, nil }

// Close gives it back.
func (a *Alarm) Close() {}

// SleepUntil sleeps until a time in ns; false when ctx ended.
func (a *Alarm) SleepUntil(ctx context.Context, at int64) bool {
	select {
	case <-time.After(time.Duration(at - a.clock.Now())):
		return true
	case <-ctx.Done():
		return false
	}
}
