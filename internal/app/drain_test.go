package app_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

func TestDrainSendsClientsElsewhere(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.DrainDelay, o.Drain = time.Hour, 50*time.Millisecond })
	apptest.Backend(t, a.Addresses().NATS, "")
	public := a.Addresses().Public
	clients := []*apptest.Client{apptest.Listen(t, a, "1"), apptest.Listen(t, a, "2")}

	delay, skip := context.WithCancel(context.Background())
	done := drain(a, delay)
	apptest.Eventually(t, "/readyz says draining", func() bool {
		status, state, _ := apptest.Readiness(t, a)
		return status == 503 && state == "draining"
	})
	clients = append(clients, apptest.Dial(t, public)) // load balancers are still to see it
	skip()
	<-done

	// The delay was broken off, and with it what would have followed; again,
	// as a second signal would not do it.
	<-drain(a, context.Background())
	for _, c := range clients {
		if code := c.Ended(); code != 1012 {
			t.Errorf("closed with %d, want 1012", code)
		}
	}
	apptest.MetricBecomes(t, a, `belfry_closes_total{reason="drain"}`, 3)
	if c, err := net.Dial("tcp", public); err == nil {
		c.Close()
		t.Error("the public port still accepts")
	}
	if _, state, _ := apptest.Readiness(t, a); state != "draining" {
		t.Errorf("/readyz says %s", state)
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
}

func drain(a *app.App, ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Drain(ctx)
	}()
	return done
}

// A load balancer that has not looked yet goes on sending clients, to a gateway
// without any too.
func TestDrainDelayIsForLoadBalancers(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.DrainDelay, o.Drain = time.Hour, 0 })
	delay, skip := context.WithCancel(context.Background())
	defer skip()
	done := drain(a, delay)
	apptest.MetricBecomes(t, a, "belfry_ready", 0)
	c := apptest.Dial(t, a.Addresses().Public)
	c.Close()
	apptest.MetricBecomes(t, a, `belfry_connections{dialect="messagechannel"}`, 0)
	late := apptest.Dial(t, a.Addresses().Public)
	skip()
	<-done
	<-drain(a, context.Background())
	if code := late.Ended(); code != 1012 {
		t.Errorf("closed with %d, want 1012", code)
	}
}

func TestDrainWithoutConnectionsTakesTheDelayOnly(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.DrainDelay, o.Drain = 0, time.Hour })
	select {
	case <-drain(a, context.Background()):
	case <-time.After(apptest.Patience):
		t.Fatal("it waits for nobody")
	}
}

// An EventSource is told that it is to come back, and when.
func TestDrainTellsAnEventSource(t *testing.T) {
	a := apptest.Start(t)
	apptest.Backend(t, a.Addresses().NATS, "")
	e := apptest.Follow(t, a.Addresses().Public, "1").Started()
	<-drain(a, context.Background())
	if b := e.News(); b.Event != "unavailable" || b.Data != `{"reason":"drain"}` {
		t.Errorf("it was told %q", b)
	}
	if b, err := e.TryNext(apptest.Patience); err == nil {
		t.Errorf("the stream goes on: %q", b)
	}
	apptest.MetricBecomes(t, a, `belfry_closes_total{reason="drain"}`, 1)
}

// A socket that was accepted before the port was closed is told that the
// gateway is going.
func TestAHandshakeWhileDepartingIsRefused(t *testing.T) {
	a := apptest.Start(t)
	public := a.Addresses().Public
	early, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	<-drain(a, context.Background())
	if status := upgrade(t, early); status != 503 {
		t.Errorf("answered %d, want 503", status)
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="drain"}`, 1)
}

// An EventSource whose token or channel the backend is being asked about is told
// to come back, and not left to an answer that would be its last.
func TestDrainTellsWhoWaitsForTheBackend(t *testing.T) {
	for _, asked := range []string{"token", "channel"} {
		t.Run(asked, func(t *testing.T) {
			a := apptest.Start(t, func(o *config.Options) { o.Auth.Timeout = time.Hour })
			asking := make(chan struct{})
			nc := apptest.Answer(t, a.Addresses().NATS, "", func(string) string {
				if asked == "token" {
					close(asking)
					return ""
				}
				return `{"success":true,"user_id":"1"}`
			})
			if _, err := nc.Subscribe("authorization", func(*nats.Msg) { close(asking) }); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			go func() {
				<-asking
				<-drain(a, context.Background())
				_ = a.Stop()
			}()
			e := apptest.Follow(t, a.Addresses().Public, "1", "channels", "news")
			if b := e.News(); b.Event != "unavailable" || b.Data != `{"reason":"drain"}` {
				t.Errorf("it was told %q", b)
			}
			if b, err := e.TryNext(apptest.Patience); err == nil {
				t.Errorf("the stream goes on: %q", b)
			}
		})
	}
}
