//go:build !linux

package payload

import (
	"context"
	"time"
)

// SleepUntil sleeps until a time on the clock; false when ctx ended.
func (c Clock) SleepUntil(ctx context.Context, at int64) bool {
	select {
	case <-time.After(time.Duration(at - c.Now())):
		return true
	case <-ctx.Done():
		return false
	}
}
