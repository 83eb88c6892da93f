package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/coder/websocket"
)

// gateway is the gateway's own binary, as a process.
type gateway struct {
	*process
	Public string `json:"public"` // host:port
	NATS   string `json:"nats"`   // URL
}

// serve starts the gateway, on free ports unless env says otherwise, and returns
// once it is ready.
func serve(t *testing.T, env ...string) *gateway {
	t.Helper()
	data := t.TempDir()
	settings := slices.Concat(quick, []string{
		"BELFRY_PUBLIC_LISTEN=127.0.0.1:0", "BELFRY_INTERNAL_LISTEN=127.0.0.1:0",
		"BELFRY_NATS_LISTEN=127.0.0.1:0", "BELFRY_DATA=" + data,
	}, env) // the last one of a name counts
	belfry := filepath.Join(built(t, "gateway", buildGateway), "belfry")
	return ready(t, start(t, nil, settings, belfry, "serve"), data)
}

// quick lets a gateway stop without the pauses that are for load balancers.
var quick = []string{"BELFRY_DRAIN_DELAY=0s", "BELFRY_DRAIN=0s"}

// ready waits for the addresses that a gateway writes once it is ready.
func ready(t *testing.T, p *process, data string) *gateway {
	t.Helper()
	g := &gateway{process: p}
	eventually(t, "the gateway is ready", func() bool {
		select {
		case <-p.exited:
			t.Fatal("the gateway ended before it was ready")
		default:
		}
		file, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		return err == nil && json.Unmarshal(file, g) == nil
	})
	return g
}

// client is a connection in the dialect messagechannel.
type client struct{ *websocket.Conn }

func dial(t *testing.T, g *gateway) client {
	t.Helper()
	c, _, err := websocket.Dial(within(t), "ws://"+g.Public+"/", nil)
	if err != nil {
		t.Fatalf("opening a WebSocket: %v", err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return client{c}
}

func (c client) send(t *testing.T, frame string) {
	t.Helper()
	if err := c.Write(within(t), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatalf("sending %s: %v", frame, err)
	}
}

// expect fails unless the next frame is this one, byte for byte.
func (c client) expect(t *testing.T, kind websocket.MessageType, want string) {
	t.Helper()
	gotKind, got, err := c.Read(within(t))
	if err != nil {
		t.Fatalf("reading, %q expected: %v", want, err)
	}
	if string(got) != want || gotKind != kind {
		t.Fatalf("received %q (%v), want %q (%v)", got, gotKind, want, kind)
	}
}

// attach authenticates, asks for notifications, and returns once they flow: a
// second AUTH for the same user is answered in order, behind the NOTIFICATION.
func (c client) attach(t *testing.T, token, reply string) {
	t.Helper()
	auth := `{"type":"AUTH","token":"` + token + `"}`
	c.send(t, auth)
	c.expect(t, websocket.MessageText, reply)
	c.send(t, `{"type":"NOTIFICATION"}`)
	c.send(t, auth)
	c.expect(t, websocket.MessageText, reply)
}

func (c client) expectClosed(t *testing.T, code websocket.StatusCode) {
	t.Helper()
	_, data, err := c.Read(within(t))
	if websocket.CloseStatus(err) != code {
		t.Errorf("received %q, %v, want a close with code %d", data, err, code)
	}
}

// roundTrip authenticates two users, publishes to both, and sees to it that
// each gets what is theirs, once.
func roundTrip(t *testing.T, g *gateway, publisher func(args ...string) receipt) {
	t.Helper()
	one, other := dial(t, g), dial(t, g)
	one.attach(t, token1, `{"success":true,"user_id":1}`)
	mail := seal(t, demoSecret, `{"user_id":"a.b@c.d"}`)
	other.attach(t, mail, `{"success":true,"user_id":"a.b@c.d"}`)

	publisher("1", `{"user_id":"1","data":"hällo"}`, "order-1")
	publisher("a.b@c.d", "for the other", "order-1")
	publisher("1", "last", "order-2")
	one.expect(t, websocket.MessageText, `{"user_id":"1","data":"hällo"}`)
	one.expect(t, websocket.MessageText, "last")
	other.expect(t, websocket.MessageText, "for the other")

	first, again := publisher("3", "once", "order-3"), publisher("3", "once", "order-3")
	if first.Duplicate || !again.Duplicate || first.Seq != again.Seq {
		t.Errorf("published %+v, then %+v: want one message in the stream", first, again)
	}

	refused := dial(t, g)
	refused.send(t, `{"type":"AUTH","token":"nonsense"}`)
	refused.expect(t, websocket.MessageText, refusal)
	refused.expectClosed(t, websocket.StatusNoStatusRcvd)
}

func TestExamplesWithTheGateway(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		g := serve(t)
		env := []string{"NATS_URL=" + g.NATS}
		start(t, nil, env, l.authenticate...).says(t, "answering", 1)
		roundTrip(t, g, func(args ...string) receipt {
			return publish(t, l, env, nil, args...)
		})
	})
}

// Behind a prefix, and with data that is no text.
func TestExamplesWithAPrefixedGateway(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		g := serve(t, "BELFRY_NATS_PREFIX=acme")
		env := []string{"NATS_URL=" + g.NATS, "BELFRY_NATS_PREFIX=acme"}
		start(t, nil, env, l.authenticate...).says(t, "answering acme.authentication", 1)
		c := dial(t, g)
		c.attach(t, token2, `{"success":true,"user_id":2}`)
		r := publish(t, l, env, []byte("\x00\xff"), "2", "-")
		if r.Stream != "acme_BELFRY_NOTIFICATIONS" || r.Subject != "acme.notification.2" {
			t.Errorf("stored as %+v", r)
		}
		c.expect(t, websocket.MessageBinary, "\x00\xff")
	})
}
