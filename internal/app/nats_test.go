package app_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// NATS goes away under 1,000 clients and comes back: nobody loses the
// connection, and within a second everything works again.
func TestNATSRestartsUnderAThousandClients(t *testing.T) {
	const clients, users = 1000, 500
	n := apptest.StartNATS(t, true)
	a := apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	app.SetNATSGrace(a, time.Second)
	backend := apptest.Backend(t, n.URL(), "")
	all := join(t, a, clients, users)
	apptest.Subscribed(t, a, clients)

	publishAll := func(text string) {
		for i := range users {
			apptest.Publish(t, backend, fmt.Sprintf("notification.%d", i), text)
			apptest.Publish(t, backend, fmt.Sprintf("notification_%d", i), text+" live")
		}
	}
	publishAll("before")
	for _, c := range all {
		c.ExpectMixed([]string{"before"}, []string{"before live"})
	}

	gone := time.Now()
	n.Stop()
	apptest.MetricBecomes(t, a, "belfry_nats_connected", 0)
	if status, state, _ := apptest.Readiness(t, a); status != 200 && time.Since(gone) < time.Second {
		t.Errorf("/readyz says %d %s before the grace is over", status, state)
	}
	apptest.Eventually(t, "/readyz says nats_away", func() bool {
		status, state, _ := apptest.Readiness(t, a)
		return status == 503 && state == "nats_away"
	})
	if early := time.Since(gone); early < time.Second {
		t.Errorf("/readyz turned false %v after NATS went, want 1 s", early)
	}
	late := apptest.Dial(t, a.Addresses().Public) // may still come in, and is told
	late.Send(`{"type":"AUTH","token":"user:1"}`)
	late.Expect(`{"success":false,"message":"Authentication is unavailable"}`)

	n.Start()
	back := time.Now()
	// The publisher's own way back must not be what is measured.
	publisher := apptest.Connect(t, n.URL())
	for time.Since(back) < apptest.Patience {
		apptest.Publish(t, publisher, "notification.0", "probe")
		if _, err := all[0].TryNext(10 * time.Millisecond); err == nil {
			break
		}
	}
	took := time.Since(back)
	t.Logf("the first delivery went through %v after NATS was back", took)
	if took > time.Second {
		t.Errorf("a delivery went through %v after NATS was back, want 1 s", took)
	}
	apptest.Eventually(t, "/readyz says ready", func() bool {
		status, _, _ := apptest.Readiness(t, a)
		return status == 200
	})
	apptest.Eventually(t, "the backend is back", func() bool { return backend.IsConnected() })
	publishAll("after")
	for _, c := range all {
		awaitBoth(t, c)
	}
	apptest.MetricBecomes(t, a, `belfry_connections{dialect="messagechannel"}`, clients)
	apptest.Listen(t, a, "new") // authentication works too
}

// awaitBoth reads a client past its probes.
func awaitBoth(t *testing.T, c *apptest.Client) {
	t.Helper()
	for want := []string{"after", "after live"}; len(want) > 0; {
		text := c.Next()
		if text == "probe" {
			continue
		}
		i := slices.Index(want, text)
		if i < 0 {
			t.Fatalf("got %q, want %q in any order", text, want)
		}
		want = slices.Delete(want, i, i+1)
	}
}

// join connects many clients, some at a time; client i is user i modulo users.
func join(t *testing.T, a *app.App, clients, users int) []*apptest.Client {
	t.Helper()
	all := make([]*apptest.Client, clients)
	var wait sync.WaitGroup
	const lanes = 8
	for lane := range lanes {
		wait.Go(func() {
			for i := lane; i < clients; i += lanes {
				all[i] = apptest.Join(t, a, fmt.Sprint(i%users))
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}
