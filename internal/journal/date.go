package journal

import (
	"sync/atomic"
	"time"

	"belfry/internal/wall"
)

// A storeDate is the time of day as the store has it. What is stored says until
// when it lasts by that clock, and the one of this machine may be wrong, or be put
// right in a step: a publication would be left out too early, and a ticket lost.
//
// The store's word is heeded with every answer that says how a stream stands,
// which is at least every 10 s; in between this machine's monotonic clock counts.
// Before the first one it is the machine's time of day.
type storeDate struct {
	begun time.Time
	ahead atomic.Int64 // of what the monotonic clock says since begun, in ns; 0: not known
}

func newStoreDate() *storeDate { return &storeDate{begun: time.Now()} }

// heed takes over what the store's clock showed just now.
func (d *storeDate) heed(date time.Time) {
	if !date.IsZero() {
		d.ahead.Store(date.UnixNano() - int64(time.Since(d.begun)))
	}
}

// now is in ns since 1970.
func (d *storeDate) now() int64 {
	if ahead := d.ahead.Load(); ahead != 0 {
		return ahead + int64(time.Since(d.begun))
	}
	return wall.Now().UnixNano()
}

// time is now as a time.
func (d *storeDate) time() time.Time { return time.Unix(0, d.now()) }
