// Package wall is the clock on the wall: the time of day, as other machines and
// what is stored have it. It can be wrong, and be put right in a step, back or
// forward, while the process runs. How long something took, or is to wait, is
// measured with package time alone, whose monotonic clock does not step.
//
// The verifier has gateways that it started run with a clock that steps, as the
// machine's must not. Nobody else calls Set.
package wall

import (
	"sync/atomic"
	"time"
)

var off atomic.Int64

// Now is the time of day. It has no monotonic reading: the difference of two is
// wrong where the clock stepped in between, as it is between two machines.
func Now() time.Time { return time.Now().Add(time.Duration(off.Load())).Round(0) }

// Set has the clock go wrong by d from now on, which is ahead of the machine's
// where d is above 0.
func Set(d time.Duration) { off.Store(int64(d)) }
