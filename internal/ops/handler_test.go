package ops

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPublicPortTellsOneWord(t *testing.T) {
	for state, status := range map[State]int{Ready: 200, Starting: 503, Draining: 503, NATSAway: 503, Misconfigured: 503} {
		b := New(Build{}, example, func() Health {
			return Health{State: state, Reason: "a secret sentence", NATS: NATS{URL: "nats://secret"}}
		}, quiet())
		mux := http.NewServeMux()
		b.Public(mux)
		w := get(mux, "/readyz")
		if w.Code != status || w.Body.String() != string(state)+"\n" {
			t.Errorf("%s: %d %q", state, w.Code, w.Body)
		}
		if w := get(mux, "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("healthz: %d %q", w.Code, w.Body)
		}
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
			if w := get(mux, path); w.Code != http.StatusNotFound {
				t.Errorf("%s is on the public port: %d", path, w.Code)
			}
		}
	}
}

func TestInternalPortTellsDetails(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := New(Build{}, example, func() Health {
		return Health{State: NATSAway, Reason: "NATS has been away since then", NATS: NATS{URL: "nats://n:4222", AwaySince: &since}}
	}, quiet())
	for path, status := range map[string]int{"/readyz": 503, "/healthz": 200} {
		w := get(internal(b), path)
		var got Health
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != status || got.State != NATSAway || got.Reason == "" || !got.NATS.AwaySince.Equal(since) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestKeyIsNeededBeyondLoopback(t *testing.T) {
	const pprof, metrics = "/debug/pprof/cmdline", "/metrics"
	for name, tt := range map[string]struct {
		loopback, open bool
		key            string
		path, host     string
		header         []string
		status         int
	}{
		"loopback, metrics":       {loopback: true, path: metrics, status: 200},
		"loopback, pprof":         {loopback: true, path: pprof, status: 200},
		"loopback, a name":        {loopback: true, host: "evil.example:6004", path: pprof, status: 401},
		"loopback, name and key":  {loopback: true, host: "metrics.example", key: "k", path: pprof, header: []string{"X-API-Key", "k"}, status: 200},
		"loopback, localhost":     {loopback: true, host: "localhost:6004", path: pprof, status: 200},
		"loopback, IPv6":          {loopback: true, host: "[::1]:6004", path: pprof, status: 200},
		"no key given":            {key: "k", path: metrics, status: 401},
		"no key given, pprof":     {key: "k", path: pprof, status: 401},
		"the wrong key":           {key: "k", path: metrics, header: []string{"X-API-Key", "x"}, status: 401},
		"the key":                 {key: "k", path: metrics, header: []string{"X-API-Key", "k"}, status: 200},
		"the key as bearer":       {key: "k", path: pprof, header: []string{"Authorization", "Bearer k"}, status: 200},
		"bearer in lower case":    {key: "k", path: pprof, header: []string{"Authorization", "bearer k"}, status: 200},
		"another scheme":          {key: "k", path: pprof, header: []string{"Authorization", "Basic k"}, status: 401},
		"open metrics":            {key: "k", open: true, path: metrics, status: 200},
		"open metrics, pprof":     {key: "k", open: true, path: pprof, status: 401},
		"no key set":              {path: pprof, status: 401},
		"no key set, empty given": {path: pprof, header: []string{"Authorization", "Bearer "}, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(Build{}, example, func() Health { return Health{} }, quiet())
			if w := get(internal(b), tt.path, tt.header...); w.Code != 401 {
				t.Errorf("before SetAccess: %d, want 401", w.Code)
			}
			b.SetAccess(tt.loopback, tt.key, tt.open)
			host := tt.host
			if host == "" {
				host = "127.0.0.1:6004"
			}
			w := get(internal(b), tt.path, append(tt.header, "Host", host)...)
			if w.Code != tt.status {
				t.Errorf("%d, want %d", w.Code, tt.status)
			}
			if w.Code == 401 && (!strings.Contains(w.Body.String(), "api.key") || w.Header().Get("WWW-Authenticate") == "") {
				t.Errorf("it does not say what is missing: %q", w.Body)
			}
			if w := get(internal(b), "/healthz"); w.Code != 200 {
				t.Errorf("healthz needs a key: %d", w.Code)
			}
		})
	}
}
