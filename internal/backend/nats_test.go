package backend

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/ask"
	"belfry/internal/bus"
	"belfry/internal/config"
)

// The outcomes again, on a real NATS, with a subject of another name.
func TestOnNATS(t *testing.T) {
	o := config.Default()
	o.NATS.Listen, o.NATS.Prefix, o.Data, o.Durable = "127.0.0.1:0", "acme", t.TempDir(), false
	o.Subjects.Authorization = "may"
	b, err := bus.Start(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(context.Background()) })
	limits := config.Auth{Timeout: 300 * time.Millisecond, Concurrent: 2}
	p := NewPolicy([]string{"news"}, NewAuthorizer(b, b.Names().Authorization(), limits, quiet()))
	backend, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Close)

	decide := func(channels ...string) Decision {
		t.Helper()
		decisions := make(chan Decision, 1)
		p.Subscribe("42", []string{"#43"}, channels, ask.Facts{Connection: "c1"}, func(d Decision) { decisions <- d })
		select {
		case d := <-decisions:
			return d
		case <-time.After(10 * time.Second):
			t.Fatalf("no decision on %q", channels)
			return Decision{}
		}
	}
	if d := decide("news", "#42", "#43"); d.Outcome != ask.Accepted {
		t.Errorf("nobody need be asked: %+v", d)
	}
	if d := decide("yes"); d.Outcome != ask.Unavailable {
		t.Errorf("nobody listens: %+v", d)
	}

	sub, err := backend.Subscribe("acme.may", func(m *nats.Msg) {
		var q Question
		if err := json.Unmarshal(m.Data, &q); err != nil || q.User != "42" || q.Action != Subscribe || m.Header.Get("Belfry-User") != "42" {
			t.Errorf("asked %s with %v", m.Data, m.Header)
		}
		switch q.Channel {
		case "yes", "yes.too", "and.yes":
			m.Respond([]byte(`{"success":true}`))
		case "kept":
			m.Respond([]byte(`{"success":true,"cache_for":60}`))
		case "no":
			m.Respond([]byte(`{"success":false}`))
		case "nonsense":
			m.Respond([]byte("\x00"))
		}
	})
	if err == nil {
		err = backend.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want     ask.Outcome
		channels []string
	}{
		{ask.Accepted, []string{"yes", "yes.too", "and.yes", "news"}}, // more than are let go at a time
		{ask.Refused, []string{"yes", "no"}},
		{ask.Refused, []string{"yes", "#44"}},
		{ask.Invalid, []string{"nonsense"}},
		{ask.TimedOut, []string{"yes", "silence"}},
		{ask.Accepted, []string{"kept"}},
	} {
		if d := decide(c.channels...); d.Outcome != c.want {
			t.Errorf("%q: %+v, want %v", c.channels, d, c.want)
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := backend.Flush(); err != nil {
		t.Fatal(err)
	}
	if d := decide("yes"); d.Outcome != ask.Unavailable {
		t.Errorf("the backend left: %+v", d)
	}
	if d := decide("kept"); d.Outcome != ask.Accepted {
		t.Errorf("the answer was to be kept: %+v", d)
	}
}
