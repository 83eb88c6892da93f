//go:build !linux

package payload

import "time"

// monotonic is only good within the process here; the generator needs Linux.
func monotonic() int64 { return int64(time.Since(start)) }

var start = time.Now()
