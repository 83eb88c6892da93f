package durability

import (
	"fmt"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// Clients that hear nothing for longer than anything is retained, while others'
// channels are busy, are not told that they may have missed something: their
// positions move on.
func TestQuietForLongerThanTheRetention(t *testing.T) {
	t.Parallel()
	const retention = 2 * time.Second
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	short := func(o *config.Options) {
		external(n)(o)
		o.Stream.MaxAge, o.EventSource.Heartbeat = retention, time.Second
	}
	a, b := apptest.Start(t, short), apptest.Start(t, short)
	at := a.Addresses().Public
	s.put("notification.1", "early")
	events, frames := apptest.Follow(t, at, "1").Started(), attach(t, at, "1")
	events.Expect("early")
	frames.Expect("early")

	connected := s.put("notification.3", "noise").Sequence
	until := time.Now().Add(3 * retention)
	apptest.Eventually(t, "all has expired that was there when they connected", func() bool {
		s.put("notification.3", "noise")
		return time.Now().After(until) && s.stream(notifications).CachedInfo().State.FirstSeq > connected
	})
	// The last heartbeat counts.
	beaten := events.LastID()
	for {
		b, err := events.TryNext(time.Millisecond)
		if err != nil {
			break
		}
		beaten = b.ID
	}
	events.Close()
	frames.Close()
	s.put("notification.1", "late")
	for _, gateway := range []*app.App{a, b} {
		e := apptest.Follow(t, gateway.Addresses().Public, "1", "last-event-id", beaten).Started()
		e.Expect("late")
	}
	attach(t, b.Addresses().Public, "1").Expect("late")
	for _, gateway := range []*app.App{a, b} {
		for _, why := range []string{"epoch", "ahead", "expired", "malformed"} {
			if n := apptest.Metric(t, gateway, fmt.Sprintf("belfry_resets_total{reason=%q}", why)); n != 0 {
				t.Errorf("%v resets for %s", n, why)
			}
		}
	}
}
