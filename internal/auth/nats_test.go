package auth

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/config"
)

// The outcomes again, on a real NATS.
func TestOnNATS(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	o := config.Default()
	o.NATS.Listen, o.Data, o.Durable = "127.0.0.1:0", t.TempDir(), false
	b, err := bus.Start(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(context.Background()) })
	a := New(b, "authentication", config.Auth{Timeout: 300 * time.Millisecond, Concurrent: 2}, log)
	backend, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Close)

	outcome := func(token string) Result {
		t.Helper()
		results := make(chan Result, 1)
		a.Authenticate([]byte(token), Facts{Connection: "c1", UserAgent: "ü"}, false, func(r Result) { results <- r })
		select {
		case r := <-results:
			return r
		case <-time.After(10 * time.Second):
			t.Fatalf("no result for %s", token)
			return Result{}
		}
	}
	if r := outcome("yes"); r.Outcome != Unavailable {
		t.Errorf("nobody listens: %v", r.Outcome)
	}

	headers := make(chan nats.Header, 1)
	sub, err := backend.Subscribe("authentication", func(m *nats.Msg) {
		switch string(m.Data) {
		case "yes":
			headers <- m.Header
			m.Respond([]byte(`{"success":true,"user_id":1}`))
		case "no":
			m.Respond([]byte(`{"success":false,"user_id":null}`))
		case "nonsense":
			m.Respond([]byte("\x00\x01"))
		case "empty":
			m.Respond(nil)
		}
	})
	if err == nil {
		err = backend.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]Outcome{
		"yes": Accepted, "no": Refused, "nonsense": Invalid, "empty": Invalid, "silence": TimedOut,
	} {
		if r := outcome(token); r.Outcome != want {
			t.Errorf("%s: got %v, want %v", token, r.Outcome, want)
		}
	}
	h := <-headers
	if h.Get("Belfry-Contract") != "1" || h.Get("Belfry-Connection") != "c1" || h.Get("Belfry-User-Agent") != "ü" || h["Belfry-Origin"] == nil {
		t.Errorf("headers are %v", h)
	}

	if err := errors.Join(sub.Unsubscribe(), backend.Flush()); err != nil {
		t.Fatal(err)
	}
	if r := outcome("yes"); r.Outcome != Unavailable {
		t.Errorf("the backend left: %v", r.Outcome)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := outcome("yes"); r.Outcome != Unavailable {
		t.Errorf("NATS is away: %v", r.Outcome)
	}
}
