package durability

import (
	"testing"

	"belfry/internal/app/apptest"
	"belfry/internal/config"
	"belfry/internal/verify/streams"
)

// A stream is deleted under running gateways, and nobody makes it anew but they.
func TestAStreamIsDeleted(t *testing.T) {
	t.Parallel()
	for _, manage := range []string{"create", "never"} {
		t.Run(manage, func(t *testing.T) {
			t.Parallel()
			n := apptest.StartNATS(t, true)
			apptest.Backend(t, n.URL(), "")
			s := openStore(t, n.OpenURL())
			first := apptest.Start(t, external(n))
			a := apptest.Start(t, external(n), func(o *config.Options) { o.Stream.Manage = manage })
			if manage == "never" { // or the first one would make it
				if err := first.Stop(); err != nil {
					t.Fatal(err)
				}
				first = a
			}
			gateways := []string{first.Addresses().Public, a.Addresses().Public}
			var events []*apptest.Events
			for _, public := range gateways {
				events = append(events, apptest.Follow(t, public, "1").Started())
			}
			s.put("notification.1", "before", "before too")
			for _, e := range events {
				e.Expect("before", "before too")
			}

			deleted := streams.Of(s.nc, notifications)
			settings, err := deleted.Delete(within(t))
			if err != nil {
				t.Fatal(err)
			}
			becomes(t, a.Addresses().Internal, "stream_missing", notifications)
			apptest.MetricBecomes(t, a, "belfry_stream_missing", 1)
			if manage == "never" {
				if err := deleted.Create(within(t), settings); err != nil {
					t.Fatal(err)
				}
			}
			becomes(t, a.Addresses().Internal, "ready", "")
			s.put("notification.1", "after")
			for i, e := range events {
				back := e.LastID()
				e.ExpectReset("epoch")
				e.Expect("after")
				again := apptest.Follow(t, gateways[i], "1", "last-event-id", back).Started()
				again.ExpectReset("epoch")
				again.Expect("after")
			}
			apptest.MetricBecomes(t, a, "belfry_stream_missing", 0)
		})
	}
}

// The bucket of delivered cursors is deleted: it is made anew, and has the cursors
// of those who are connected.
func TestTheBucketIsDeleted(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.OpenURL())
	a := apptest.Start(t, external(n))
	c := attach(t, a.Addresses().Public, "1")
	s.awaitCursor("1", s.put("notification.1", "one").Sequence)
	c.Expect("one")
	if _, err := streams.Of(s.nc, "KV_BELFRY_CURSORS").Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	becomes(t, a.Addresses().Internal, "stream_missing", "KV_BELFRY_CURSORS")
	becomes(t, a.Addresses().Internal, "ready", "")
	seq := s.put("notification.1", "two").Sequence
	c.Expect("two")
	s.awaitCursor("1", seq)
}
