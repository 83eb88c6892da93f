package apptest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Refusal is what Backend answers to a token that is not "user:<id>".
const Refusal = `{"success":false,"user_id":null}`

// Backend answers authentication behind a prefix ("" for none): the token
// "user:<id>" stands for that user, and no other for anybody. It returns its
// connection, which reconnects for as long as the test lasts.
func Backend(t testing.TB, natsURL, prefix string) *nats.Conn {
	t.Helper()
	return Answer(t, natsURL, prefix, func(token string) string {
		user, ok := strings.CutPrefix(token, "user:")
		if !ok {
			return Refusal
		}
		id, err := json.Marshal(user)
		if err != nil {
			return Refusal
		}
		return fmt.Sprintf(`{"success":true,"user_id":%s}`, id)
	})
}

// Answer is a backend that answers what reply returns, or not at all for "".
func Answer(t testing.TB, natsURL, prefix string, reply func(token string) string) *nats.Conn {
	t.Helper()
	nc := Connect(t, natsURL)
	_, err := nc.Subscribe(behind(prefix)+"authentication", func(m *nats.Msg) {
		if text := reply(string(m.Data)); text != "" {
			_ = m.Respond([]byte(text))
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatalf("subscribing a backend: %v", err)
	}
	return nc
}

func behind(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix + "."
}

// Connect connects to NATS, until the test is over. With the URL of a NATS's
// gateways it is not one of them, and may do everything.
func Connect(t testing.TB, natsURL string) *nats.Conn {
	t.Helper()
	natsURL = strings.Replace(natsURL, "//gateway:x@", "//", 1)
	nc, err := nats.Connect(natsURL, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("connecting to NATS at %s: %v", natsURL, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Publish publishes with core NATS, and returns when the server has it.
func Publish(t testing.TB, nc *nats.Conn, subject string, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := nc.Publish(subject, []byte(p)); err != nil {
			t.Fatalf("publishing on %s: %v", subject, err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatalf("publishing on %s: %v", subject, err)
	}
}
