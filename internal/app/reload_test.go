package app_test

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

func TestReloadTakesOverWhatItCanAndTellsTheRest(t *testing.T) {
	var first config.Options
	a := apptest.Start(t, func(o *config.Options) {
		o.Auth.Timeout = time.Hour
		first = *o
	})
	apptest.Answer(t, a.Addresses().NATS, "", func(string) string { return "" })
	public := a.Addresses().Public

	next := first
	next.Public.Origins = []string{"https://example.com"}
	next.Limits.Connections = 1
	next.Auth.Timeout = 100 * time.Millisecond
	next.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	next.Public.Listen, next.NATS.Prefix = "127.0.0.1:1", "acme"
	applied, restart := a.Reload(next)
	slices.Sort(applied)
	if want := []string{"auth.timeout", "limits.connections", "public.origins", "trusted_proxies"}; !slices.Equal(applied, want) {
		t.Errorf("applied %q, want %q", applied, want)
	}
	slices.Sort(restart)
	if want := []string{"nats.prefix", "public.listen"}; !slices.Equal(restart, want) {
		t.Errorf("needs a restart: %q, want %q", restart, want)
	}

	if _, answer, err := apptest.TryDial(t, public, "Origin", "https://evil.example"); err == nil || answer.StatusCode != 403 {
		t.Errorf("origins: %v %v", answer, err)
	}
	c := apptest.Dial(t, public, "Origin", "https://example.com")
	if _, answer, err := apptest.TryDial(t, public); err == nil || answer.StatusCode != 503 {
		t.Errorf("limit: %v %v", answer, err)
	}
	c.Send(`{"type":"AUTH","token":"x"}`)
	c.Expect(`{"success":false,"message":"Authentication timed out"}`)

	// What needs a restart still does, and what was taken over is no news.
	applied, restart = a.Reload(next)
	if len(applied) != 0 || len(restart) != 2 {
		t.Errorf("the same again: applied %q, restart %q", applied, restart)
	}
}

func TestReloadChangesWhoMaySeeMetrics(t *testing.T) {
	app.BeyondLoopback(t)
	var first config.Options
	a := apptest.Start(t, func(o *config.Options) {
		o.API.Key = "one"
		first = *o
	})
	status := func(path string, header ...string) int {
		answer, err := http.DefaultClient.Do(request(t, "http://"+a.Addresses().Internal+path, header...))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	want := func(path string, code int, header ...string) {
		t.Helper()
		if got := status(path, header...); got != code {
			t.Errorf("%s with %q: %d, want %d", path, header, got, code)
		}
	}
	want("/readyz", 200)
	want("/metrics", 401)
	want("/metrics", 200, "X-API-Key", "one")
	want("/debug/pprof/cmdline", 200, "Authorization", "Bearer one")

	next := first
	next.API.Key, next.Metrics.Open = "two", true
	if applied, restart := a.Reload(next); len(applied) != 2 || len(restart) != 0 {
		t.Errorf("applied %q, restart %q", applied, restart)
	}
	want("/metrics", 200)
	want("/debug/pprof/cmdline", 401, "Authorization", "Bearer one")
	want("/debug/pprof/cmdline", 200, "Authorization", "Bearer two")
}
