package durability

import (
	"fmt"
	"strings"
	"testing"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// neverSlow checks that no connection was closed for being slow.
func neverSlow(t *testing.T, a *app.App) {
	t.Helper()
	if n := apptest.Metric(t, a, `belfry_closes_total{reason="slow"}`); n != 0 {
		t.Errorf("%v connections were closed as slow", n)
	}
}

// A client that missed ten times what may wait for it catches up over a slow
// line, while more is published, and is not closed.
func TestCatchingUpOverASlowLine(t *testing.T) {
	t.Parallel()
	const queue, size, missed, rate = 1 << 20, 10 << 10, 10 * 1024 / 10, 4 << 20 // bytes; bytes a second
	a := apptest.Start(t, func(o *config.Options) { o.Limits.Queue, o.Replay.Max = queue, 2*missed })
	apptest.Backend(t, a.Addresses().NATS, "")
	s := openStore(t, a.Addresses().NATS)
	line := apptest.StartProxy(t, a.Addresses().Public)
	line.Slow(rate, 0)

	e := apptest.Follow(t, a.Addresses().Public, "1").Started()
	e.Close()
	var want []string
	for i := range missed {
		want = append(want, fmt.Sprint(i, strings.Repeat(".", size)))
	}
	s.putMany("notification.1", want)

	events := apptest.Follow(t, line.Addr(), "1", "last-event-id", e.LastID()).Started()
	frames := attach(t, line.Addr(), "1")
	for i, text := range want {
		events.Expect(text)
		frames.Expect(text)
		if i == missed/2 { // else the line was not slow, and nothing is shown
			apptest.MetricBecomes(t, a, "belfry_catching_up", 2)
		}
		if i%16 == 0 {
			more := fmt.Sprint("meanwhile ", i)
			s.put("notification.1", more)
			want = append(want, more)
		}
	}
	for _, text := range want[missed:] {
		events.Expect(text)
		frames.Expect(text)
	}
	neverSlow(t, a)
}

// A publication that is larger than what may wait for a connection arrives, live
// and replayed, over a slow line too.
func TestLargerThanTheQueue(t *testing.T) {
	t.Parallel()
	a := apptest.Start(t, func(o *config.Options) { o.Limits.Queue = 16 << 10 })
	apptest.Backend(t, a.Addresses().NATS, "")
	s := openStore(t, a.Addresses().NATS)
	line := apptest.StartProxy(t, a.Addresses().Public)
	line.Slow(2<<20, 0)
	large := func(n int) string { return fmt.Sprint(n, strings.Repeat("x", 200<<10)) }

	for _, public := range []string{a.Addresses().Public, line.Addr()} {
		user := map[string]string{a.Addresses().Public: "1", line.Addr(): "2"}[public]
		events, frames := apptest.Follow(t, public, user).Started(), attach(t, public, user)
		for i := range 3 { // live
			s.put("notification."+user, large(i))
			events.Expect(large(i))
			frames.Expect(large(i))
		}
		events.Close()
		frames.Close()
		s.put("notification."+user, large(4), large(5), large(6), "small")
		events = apptest.Follow(t, public, user, "last-event-id", events.LastID())
		events.Expect(large(4), large(5), large(6), "small")
		frames = attach(t, public, user)
		for frames.Next() != large(4) { // what was sent in the last second may come again
		}
		frames.Expect(large(5), large(6), "small")
	}
	neverSlow(t, a)
}

// What a client still had to be sent is purged, or expires, while it is catching
// up over a slow line: it is told, and goes on with what there is.
func TestOvertakenByTheRetention(t *testing.T) {
	t.Parallel()
	const size, missed = 10 << 10, 1000 // bytes
	a := apptest.Start(t)
	apptest.Backend(t, a.Addresses().NATS, "")
	s := openStore(t, a.Addresses().NATS)
	line := apptest.StartProxy(t, a.Addresses().Public)
	line.Slow(256<<10, 0)
	e := apptest.Follow(t, a.Addresses().Public, "1").Started()
	e.Close()
	var all []string
	for i := range missed {
		all = append(all, fmt.Sprint(i, strings.Repeat(".", size)))
	}
	s.putMany("notification.1", all)
	slow := apptest.Follow(t, line.Addr(), "1", "last-event-id", e.LastID()).Started()
	slow.Expect(all[0])
	s.purge(notifications)
	s.put("notification.1", "new")
	apptest.MetricBecomes(t, a, "belfry_catching_up", 1)
	apptest.MetricBecomes(t, a, `belfry_resets_total{reason="expired"}`, 1)
	line.Slow(0, 0)
	for i := 1; ; i++ {
		b := slow.News()
		if b.Event == "reset" {
			if b.Data != `{"reason":"expired"}` || b.ID == "" {
				t.Fatalf("got %q", b)
			}
			break
		}
		if b.Data != all[i] {
			t.Fatalf("got %.20q, want %.20q or a reset", b.Data, all[i])
		}
	}
	slow.Expect("new")
	neverSlow(t, a)
}
