package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// A gateway that is told to stop before it was ready lets nobody in.
func TestDrainBeforeTheGatewayIsReady(t *testing.T) {
	n := apptest.StartNATS(t, true)
	url := n.URL()
	n.Stop()
	a := apptest.Launch(t, func(o *config.Options) { o.NATS.URL = []string{url}; o.DrainDelay = time.Hour })
	a.Drain(context.Background())
	_, answer, err := apptest.TryDial(t, a.Addresses().Public)
	if err == nil || answer == nil || answer.StatusCode != 503 || answer.Header.Get("Belfry-Reason") != "drain" {
		t.Errorf("answered %+v, %v", answer, err)
	}
}

func TestBothPortsAnswerBeforeTheGatewayIsReady(t *testing.T) {
	n := apptest.StartNATS(t, true)
	url := n.URL()
	n.Stop()
	a := apptest.Launch(t, func(o *config.Options) { o.NATS.URL = []string{url} })
	at := a.Addresses()

	if status, body := apptest.Get(t, "http://"+at.Public+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("public healthz: %d %q", status, body)
	}
	if status, body := apptest.Get(t, "http://"+at.Public+"/readyz"); status != 503 || body != "starting\n" {
		t.Errorf("public readyz: %d %q", status, body)
	}
	apptest.Eventually(t, "/readyz names what is waited for", func() bool {
		status, state, why := apptest.Readiness(t, a)
		return status == 503 && state == "starting" && strings.Contains(why, "NATS")
	})
	_, answer, err := apptest.TryDial(t, at.Public)
	if err == nil {
		t.Fatal("a client was let in")
	}
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || answer.Header.Get("Belfry-Reason") != "not_ready" {
		t.Errorf("the handshake was answered %d %v", answer.StatusCode, answer.Header)
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="not_ready"}`, 1)
	apptest.MetricBecomes(t, a, `belfry_ready`, 0)
	if _, err := app.ReadAddresses(app.Dir(a)); err == nil {
		t.Error("addresses.json is there before the gateway is ready")
	}

	n.Start()
	apptest.Ready(t, a)
	apptest.Backend(t, url, "")
	apptest.Listen(t, a, "1")
	apptest.MetricBecomes(t, a, `belfry_ready`, 1)
	if status, body := apptest.Get(t, "http://"+at.Public+"/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("public readyz: %d %q", status, body)
	}
}

func TestWithoutJetStreamADurableGatewayWaits(t *testing.T) {
	n := apptest.StartNATS(t, false)
	a := apptest.Launch(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	apptest.Eventually(t, "/readyz names JetStream", func() bool {
		status, state, why := apptest.Readiness(t, a)
		return status == 503 && state == "starting" && strings.Contains(why, "JetStream")
	})
	apptest.MetricBecomes(t, a, "belfry_nats_connected", 1)
	select {
	case <-a.Ready():
		t.Error("it is ready")
	default:
	}
}

func TestWithoutJetStreamALiveGatewayWorks(t *testing.T) {
	n := apptest.StartNATS(t, false)
	a := apptest.Start(t, func(o *config.Options) { o.NATS.URL, o.Durable = []string{n.URL()}, false })
	backend := apptest.Backend(t, n.URL(), "")
	c := apptest.Listen(t, a, "1")
	apptest.Publish(t, backend, "notification.1", "x")
	c.Expect("x")
	apptest.MetricBecomes(t, a, "belfry_durable", 0)
	if _, body := apptest.Get(t, "http://"+a.Addresses().Internal+"/readyz"); !strings.Contains(body, `"durable": false`) {
		t.Errorf("/readyz does not say that it is live only: %s", body)
	}
}

func TestEmbeddedWithoutStreamsWorks(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.Durable = false })
	backend := apptest.Backend(t, a.Addresses().NATS, "")
	c := apptest.Listen(t, a, "1")
	apptest.Publish(t, backend, "notification.1", "x")
	c.Expect("x")
}

// What no waiting mends is an error for whoever started the gateway, and the
// ports say so until it is stopped.
func TestAMisconfiguredNATSIsAnError(t *testing.T) {
	n := apptest.StartNATS(t, true)
	js, err := jetstream.New(apptest.Connect(t, n.URL()))
	if err != nil {
		t.Fatal(err)
	}
	foreign := jetstream.StreamConfig{Name: "SOMEBODYS", Subjects: []string{"notification.>"}}
	if _, err := js.CreateStream(context.Background(), foreign); err != nil {
		t.Fatal(err)
	}
	a := apptest.Launch(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	select {
	case err := <-a.Err():
		if !strings.Contains(err.Error(), "SOMEBODYS") {
			t.Errorf("the error does not name the other stream: %v", err)
		}
	case <-time.After(apptest.Patience):
		t.Fatal("no error")
	}
	if status, state, why := apptest.Readiness(t, a); status != 503 || state != "misconfigured" || !strings.Contains(why, "SOMEBODYS") {
		t.Errorf("/readyz: %d %s %s", status, state, why)
	}
	if status, body := apptest.Get(t, "http://"+a.Addresses().Public+"/readyz"); status != 503 || body != "misconfigured\n" {
		t.Errorf("public /readyz: %d %q", status, body)
	}
}
