package demo

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"belfry/internal/subject"

	"github.com/nats-io/nats.go"
)

func TestAuthenticationOverNATS(t *testing.T) {
	s := startNATS(t)
	startBackend(t, dial(t, s), nil, subject.Default(""))
	gateway := dial(t, s)
	for token, want := range map[string]string{
		known["1"]:                       `{"success":true,"user_id":1}`,
		known["2"]:                       `{"success":true,"user_id":2}`,
		Token(json.RawMessage(`"anna"`)): `{"success":true,"user_id":"anna"}`,
		"garbage":                        `{"success":false,"user_id":null}`,
		"":                               `{"success":false,"user_id":null}`,
	} {
		reply, err := gateway.Request("authentication", []byte(token), 5*time.Second)
		if err != nil {
			t.Fatalf("token %q: %v", token, err)
		}
		if string(reply.Data) != want {
			t.Errorf("token %q: answered %s, want %s", token, reply.Data, want)
		}
	}
}

func TestTwoBackendsAnswerOnce(t *testing.T) {
	s := startNATS(t)
	names := subject.Default("acme")
	startBackend(t, dial(t, s), nil, names)
	startBackend(t, dial(t, s), nil, names)
	gateway := dial(t, s)
	inbox := gateway.NewInbox()
	replies, err := gateway.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := gateway.PublishRequest("acme.authentication", inbox, []byte(known["1"])); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := replies.NextMsg(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	// A second answer would already be on its way: NATS keeps the order of what
	// one backend sends, so a round trip through each queue member flushes it.
	for range 10 {
		if _, err := gateway.Request("acme.authentication", []byte(known["1"]), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if n, _, err := replies.Pending(); err != nil || n != 0 {
		t.Errorf("%d more answers than requests (%v)", n, err)
	}
}

func TestAfterStopNobodyAnswers(t *testing.T) {
	s := startNATS(t)
	nc := dial(t, s)
	b := startBackend(t, nc, nil, subject.Default(""))
	b.Stop()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request("authentication", []byte(known["1"]), 5*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("after Stop a request ended with %v, want no responders", err)
	}
	b.Stop() // again does nothing
}
