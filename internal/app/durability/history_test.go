package durability

import (
	"os"
	"slices"
	"testing"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// external has gateways use a NATS outside.
func external(n *apptest.NATS) func(*config.Options) {
	return func(o *config.Options) { o.NATS.URL = []string{n.URL()} }
}

// A crowd are clients of user 1 that have received the same, in both dialects:
// some are connected to one gateway or the other, some are away.
type crowd struct {
	t      testing.TB
	events []*apptest.Events // connected
	frames []*apptest.Client // connected
	away   string            // the position of those that are not
}

// gather connects clients to these gateways, has them receive these texts and
// sends some away.
func gather(t testing.TB, s *store, received []string, gateways ...*app.App) *crowd {
	t.Helper()
	c := &crowd{t: t}
	for _, a := range gateways {
		c.events = append(c.events, apptest.Follow(t, a.Addresses().Public, "1").Started())
		c.frames = append(c.frames, attach(t, a.Addresses().Public, "1"))
	}
	away := apptest.Follow(t, gateways[0].Addresses().Public, "1").Started()
	s.put("notification.1", received...)
	away.Expect(received...)
	c.away = away.LastID()
	away.Close()
	for _, e := range c.events {
		e.Expect(received...)
	}
	for _, f := range c.frames {
		f.Expect(received...)
	}
	return c
}

// expect wants every connected client to get these texts and nothing else.
func (c *crowd) expect(texts ...string) {
	c.t.Helper()
	for _, e := range c.events {
		e.Expect(texts...)
	}
	for _, f := range c.frames {
		f.Expect(texts...)
	}
}

// expectReset wants every connected client that has words for it to be told to
// reset, and all to get these texts then. What the gateway read before it found
// out may have come before that: it is some of the same.
func (c *crowd) expectReset(why string, texts ...string) {
	c.t.Helper()
	for _, e := range c.events {
		for b := e.News(); b.Event != "reset"; b = e.News() {
			if b.Event != "" || !slices.Contains(texts, b.Data) {
				c.t.Fatalf("got %q before a reset", b)
			}
		}
		if last := e.Got(); !slices.ContainsFunc(last, func(b apptest.Block) bool {
			return b.Event == "reset" && b.Data == `{"reason":"`+why+`"}` && b.ID != ""
		}) {
			c.t.Fatalf("got %q, want a reset for %s with an id", last, why)
		}
		e.Expect(texts...)
	}
	for _, f := range c.frames {
		var got []string
		for !endsWith(got, texts) {
			got = append(got, f.Next())
			if !slices.Contains(texts, got[len(got)-1]) {
				c.t.Fatalf("got %q, want some and then all of %q", got, texts)
			}
		}
	}
}

func endsWith(all, end []string) bool {
	return len(all) >= len(end) && slices.Equal(all[len(all)-len(end):], end)
}

// returns wants a client that was away to get these texts on its return, behind
// a reset where there is a reason.
func (c *crowd) returns(public, reset string, texts ...string) *apptest.Events {
	c.t.Helper()
	e := apptest.Follow(c.t, public, "1", "last-event-id", c.away).Started()
	if reset != "" {
		e.ExpectReset(reset)
	}
	e.Expect(texts...)
	return e
}

// Purged under running gateways: whoever has everything goes on; whoever missed
// something that is gone is told.
func TestPurged(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	a, b := apptest.Start(t, external(n)), apptest.Start(t, external(n))
	c := gather(t, s, texts("received", 10), a, b)
	fresh := func() *app.App { return apptest.Start(t, external(n)) }

	s.purge(notifications)
	c.returns(fresh().Addresses().Public, "") // it had everything
	s.put("notification.1", texts("kept", 3)...)
	c.expect(texts("kept", 3)...)
	c.returns(a.Addresses().Public, "", texts("kept", 3)...)

	s.purge(notifications)
	s.put("notification.1", texts("new", 3)...)
	c.expect(texts("new", 3)...)
	c.returns(fresh().Addresses().Public, "expired", texts("new", 3)...)
	// The others see it within 10 s at best; until then they have what was purged.
	apptest.Eventually(t, "a running gateway sees it", func() bool {
		e := apptest.Follow(t, a.Addresses().Public, "1", "last-event-id", c.away).Started()
		defer e.Close()
		switch b := e.News(); {
		case b.Event == "reset":
			e.Expect(texts("new", 3)...)
			return true
		case b.Data != "kept 0":
			t.Fatalf("got %q, want a reset or what was purged", b)
		}
		return false
	})
}

// Deleted and made anew under running gateways, and more is published than there
// was before: sequences say nothing of it.
func TestRecreated(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"with less than before": 4, "with more than before": 25} {
		t.Run(name, func(t *testing.T) {
			n := apptest.StartNATS(t, true)
			apptest.Backend(t, n.URL(), "")
			s := openStore(t, n.URL())
			a, b := apptest.Start(t, external(n)), apptest.Start(t, external(n))
			c := gather(t, s, texts("received", 10), a, b)

			s.recreate(notifications)
			anew := texts("anew", count)
			s.put("notification.1", anew...)
			c.expectReset("epoch", anew...)
			c.returns(b.Addresses().Public, "epoch", anew...)
			c.returns(apptest.Start(t, external(n)).Addresses().Public, "epoch", anew...)
			s.put("notification.1", "live")
			c.expect("live")
			for _, a := range []*app.App{a, b} {
				if told := apptest.Metric(t, a, `belfry_resets_total{reason="epoch"}`); told < 2 {
					t.Errorf("%v resets were counted, want that of both connected clients", told)
				}
			}
		})
	}
}

// An older copy of the store is put in place under running gateways: the creation
// time is the same, and after what was published since so are the sequences.
func TestRestoredUnderRunningGateways(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"with less than was lost": 3, "with more than was lost": 25} {
		t.Run(name, func(t *testing.T) {
			n := apptest.StartNATS(t, true)
			apptest.Backend(t, n.URL(), "")
			s := openStore(t, n.URL())
			a, b := apptest.Start(t, external(n)), apptest.Start(t, external(n))
			c := gather(t, s, texts("before the copy", 5), a, b)
			restore := copyOf(t, n)
			lost := texts("lost", 10)
			s.put("notification.1", lost...)
			c.expect(lost...)
			c.away = c.events[0].LastID()

			since := texts("since", count)
			n.Stop()
			restore()
			publishBeforeGatewaysAreBack(t, n, since)
			c.expectReset("epoch", since...)
			// What the copy has comes again, as far as it is retained.
			c.returns(a.Addresses().Public, "epoch", append(texts("before the copy", 5), since...)...)
			c.returns(apptest.Start(t, external(n)).Addresses().Public, "epoch", append(texts("before the copy", 5), since...)...)
			s.put("notification.1", "live")
			c.expect("live")
		})
	}
}

// The documented procedure: gateways and NATS are stopped, the copy is put in
// place, the epoch is rotated, and everything is started again.
func TestRestoredByTheProcedure(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	a := apptest.Start(t, external(n))
	c := gather(t, s, texts("before the copy", 5), a)
	s.awaitCursor("1", 5)
	restore := copyOf(t, n)
	s.put("notification.1", texts("lost", 10)...)
	c.expect(texts("lost", 10)...)
	c.away = c.events[0].LastID()
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	restore()
	n.Start()
	if done, err := app.RotateEpochs(within(t), apptest.Options(t, external(n)), n.URL()); err != nil || len(done) != 2 {
		t.Fatalf("rotating the epochs: %v, %v", done, err)
	}
	since := append(texts("before the copy", 5), texts("since", 25)...)
	s.put("notification.1", texts("since", 25)...)

	b := apptest.Start(t, external(n))
	// messagechannel has no words for it: it gets what is retained.
	attach(t, b.Addresses().Public, "1").Expect(since...)
	apptest.MetricBecomes(t, b, `belfry_resets_total{reason="epoch"}`, 1)
	c.returns(b.Addresses().Public, "epoch", since...)
	apptest.MetricBecomes(t, b, `belfry_resets_total{reason="epoch"}`, 2)
}

// Without the procedure a gateway that was stopped meanwhile can only see that a
// client is ahead; and a client can lie, or bring what is none.
func TestPositionsThatCantBeServed(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	a := apptest.Start(t, external(n))
	c := gather(t, s, texts("received", 5), a)
	restore := copyOf(t, n)
	s.put("notification.1", texts("lost", 5)...)
	c.expect(texts("lost", 5)...)
	c.away = c.events[0].LastID()
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	restore()
	n.Start()
	a = apptest.Start(t, external(n))
	at := a.Addresses().Public
	e := c.returns(at, "ahead", texts("received", 5)...)
	s.put("notification.1", "new")
	e.Expect("new")

	all := append(texts("received", 5), "new")
	for _, position := range []string{"nonsense", "n-x", "n-1-zzzzzzzzzzzzzzzzz", "%00", "n-_c-"} {
		e := apptest.Follow(t, at, "1", "since", position, "start", "all").Started()
		e.ExpectReset("malformed")
		e.Expect(all...)
	}
	apptest.Follow(t, at, "1", "last-event-id", "n-1abc-3").Started().ExpectReset("epoch")
}

// copyOf keeps a copy of the store as it is now; restore, with NATS stopped, puts
// it in place.
func copyOf(t testing.TB, n *apptest.NATS) (restore func()) {
	t.Helper()
	n.Stop()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(n.Dir())); err != nil {
		t.Fatalf("copying the store: %v", err)
	}
	n.Start()
	return func() {
		t.Helper()
		if err := os.RemoveAll(n.Dir()); err != nil {
			t.Fatalf("removing the store: %v", err)
		}
		if err := os.CopyFS(n.Dir(), os.DirFS(dir)); err != nil {
			t.Fatalf("restoring the copy: %v", err)
		}
	}
}

// publishBeforeGatewaysAreBack starts NATS and publishes, as far as possible
// before the gateways have looked at what it has.
func publishBeforeGatewaysAreBack(t testing.TB, n *apptest.NATS, payloads []string) {
	t.Helper()
	n.Start()
	s := openStore(t, n.URL())
	s.n = 10_000
	s.put("notification.1", payloads...)
}
