package app_test

import (
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// What goes wrong with authentication has five faces, each told to the client
// and counted by its own name, and none hurts the next client.
func TestEachAuthenticationOutcomeIsToldAndCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		backend func(t *testing.T, a *app.App)
		reply   string
		outcome string
		reason  string
	}{
		"nobody listens": {
			func(*testing.T, *app.App) {},
			`{"success":false,"message":"Authentication is unavailable"}`, "unavailable", "auth_unavailable",
		},
		"slow": {
			func(t *testing.T, a *app.App) { answer(t, a, "") },
			`{"success":false,"message":"Authentication timed out"}`, "timeout", "auth_timeout",
		},
		"nonsense": {
			func(t *testing.T, a *app.App) { answer(t, a, "<html>Fatal error") },
			`{"success":false,"message":"Authentication reply is invalid"}`, "invalid", "auth_invalid",
		},
		"no user": {
			func(t *testing.T, a *app.App) { answer(t, a, `{"success":true,"user_id":null}`) },
			`{"success":false,"message":"Authentication reply is invalid"}`, "invalid", "auth_invalid",
		},
		"refusing": {
			func(t *testing.T, a *app.App) { answer(t, a, `{ "success": false, "user_id": null, "why": "✗" }`) },
			`{ "success": false, "user_id": null, "why": "✗" }`, "refused", "auth_refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apptest.Start(t, func(o *config.Options) { o.Auth.Timeout = 300 * time.Millisecond })
			tt.backend(t, a)
			c := apptest.Dial(t, a.Addresses().Public)
			c.Want() // too early, and for a refused connection never right
			c.Send(`{"type":"AUTH","token":"user:1"}`)
			c.Expect(tt.reply)
			if code := c.Ended(); code != 1005 {
				t.Errorf("closed with %d, want a close frame without a code", code)
			}
			if n := len(c.Got()); n != 1 {
				t.Errorf("it got %q, want the one reply", c.Got())
			}
			apptest.MetricBecomes(t, a, `belfry_authentications_total{outcome="`+tt.outcome+`"}`, 1)
			apptest.MetricBecomes(t, a, `belfry_authentications_total{outcome="accepted"}`, 0)
			apptest.MetricBecomes(t, a, `belfry_closes_total{reason="`+tt.reason+`"}`, 1)
			apptest.MetricBecomes(t, a, `belfry_connections{dialect="messagechannel"}`, 0)
			apptest.MetricBecomes(t, a, `belfry_subscriptions`, 0)
		})
	}
}

// answer is a backend that says the same to everybody, or nothing for "".
func answer(t *testing.T, a *app.App, reply string) {
	apptest.Answer(t, a.Addresses().NATS, "", func(string) string { return reply })
}

func TestWhoWaitsForTheBackendIsSeen(t *testing.T) {
	hold := make(chan struct{})
	a := apptest.Start(t, func(o *config.Options) { o.Auth.Concurrent, o.Auth.Timeout = 1, time.Minute })
	apptest.Answer(t, a.Addresses().NATS, "", func(token string) string {
		<-hold
		return `{"success":true,"user_id":1}`
	})
	var clients []*apptest.Client
	for range 3 {
		c := apptest.Dial(t, a.Addresses().Public)
		c.Send(`{"type":"AUTH","token":"x"}`)
		clients = append(clients, c)
	}
	apptest.MetricBecomes(t, a, "belfry_authentications_under_way", 1)
	apptest.MetricBecomes(t, a, "belfry_authentications_waiting", 2)
	close(hold)
	for _, c := range clients {
		c.Expect(`{"success":true,"user_id":1}`)
	}
	apptest.MetricBecomes(t, a, "belfry_authentications_under_way", 0)
	apptest.MetricBecomes(t, a, "belfry_authentications_waiting", 0)
}
