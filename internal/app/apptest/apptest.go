// Package apptest starts real gateways, backends and NATS servers inside a
// test, all on 127.0.0.1 and free ports, and talks to them as clients do.
//
//	a := apptest.Start(t)
//	apptest.Backend(t, a.Addresses().NATS, "")
//	one := apptest.Listen(t, a, "1")
//	apptest.Publish(t, a.Addresses().NATS, "notification.1", `{"n":1}`)
//	one.Expect(`{"n":1}`)
package apptest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/config"
)

// Patience is how long anything may take before a test fails. It is long
// because machines are busy; nothing ever waits it out in a test that passes.
const Patience = 20 * time.Second

// Options are the defaults, on free ports of 127.0.0.1 and a directory of the
// test's, without waiting on the way out.
func Options(t testing.TB, change ...func(*config.Options)) config.Options {
	t.Helper()
	o := config.Default()
	o.Public.Listen, o.Internal.Listen, o.NATS.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	o.Data = t.TempDir()
	o.DrainDelay, o.Drain = 0, 0
	for _, c := range change {
		c(&o)
	}
	return o
}

// New makes a gateway that is not started; it is stopped with the test.
func New(t testing.TB, change ...func(*config.Options)) *app.App {
	t.Helper()
	a, err := app.New(Options(t, change...), Log(t))
	if err != nil {
		t.Fatalf("making a gateway: %v", err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v", err)
		}
	})
	return a
}

// Launch starts a gateway and does not wait until it is ready.
func Launch(t testing.TB, change ...func(*config.Options)) *app.App {
	t.Helper()
	a := New(t, change...)
	if err := a.Start(context.Background()); err != nil {
		t.Fatalf("starting a gateway: %v", err)
	}
	return a
}

// Start starts a gateway and waits until it is ready.
func Start(t testing.TB, change ...func(*config.Options)) *app.App {
	t.Helper()
	a := Launch(t, change...)
	Ready(t, a)
	return a
}

// Ready waits until a gateway is ready.
func Ready(t testing.TB, a *app.App) {
	t.Helper()
	select {
	case <-a.Ready():
	case err := <-a.Err():
		t.Fatalf("the gateway can't get ready: %v", err)
	case <-time.After(Patience):
		_, why := Get(t, "http://"+a.Addresses().Internal+"/readyz")
		t.Fatalf("the gateway is not ready within %v: %s", Patience, why)
	}
}

// Eventually waits until ok, looking often.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Log writes to the test's log, until the test is over.
func Log(t testing.TB) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
	})
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct {
	mu   sync.Mutex
	t    testing.TB
	over bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.t.Logf("%s", p[:max(len(p)-1, 0)])
	}
	return len(p), nil
}
