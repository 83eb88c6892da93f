package messagechannel

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"belfry/internal/reason"
)

const yes1, yes2 = `{"success":true,"user_id":1}`, `{"success":true,"user_id":2}`

// wrong is an error frame's payload.
func wrong(message string) string { return `{"success":false,"message":"` + message + `"}` }

// The original's scenario: two users, and the notification reaches one.
func TestSixSteps(t *testing.T) {
	g := start(t, nil)
	one, two := g.dial(), g.dial()
	one.say(`{"type":"AUTH","token":"57uiWCKp/44wImihy0C9+g=="}`)
	one.hears(`{"success":true,"user_id":1}`)
	two.say(`{"type":"AUTH","token":"Hm5tYwbyoSM71Ns7A43ujQ=="}`)
	two.hears(`{"success":true,"user_id":2}`)
	one.say(`{"type":"NOTIFICATION"}`)
	two.say(`{"type":"NOTIFICATION"}`)
	g.subscribed(2)
	g.publish("1", `{"user_id":"1","data":"hello"}`)
	one.hears(`{"user_id":"1","data":"hello"}`)
	two.hearsNothing()
	eventually(t, "both to be followed", func() bool { return g.follower.of("1") == 1 && g.follower.of("2") == 1 })
}

// The backend gets the token's bytes and nothing else, and is told who asks.
func TestBackendIsAskedWithTheRawToken(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(`{"type":"AUTH","token":"57uiWCKp\/44wImihy0C9\u002bg==","more":1}`)
	c.hears(yes1)
	msg := g.backend.at(0)
	if string(msg.Data) != token1 || msg.Subject != "authentication" {
		t.Errorf("asked %q about %q", msg.Subject, msg.Data)
	}
	for name, want := range map[string]string{
		"Belfry-Contract": "1", "Belfry-Remote-Address": "127.0.0.1", "Belfry-Origin": "https://example.org",
		"Belfry-User-Agent": "byte by byte", "Belfry-Dialect": "messagechannel", "Belfry-User": "",
	} {
		if got := msg.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(msg.Header.Get("Belfry-Connection")) != 16 {
		t.Errorf("Belfry-Connection is %q", msg.Header.Get("Belfry-Connection"))
	}
}

// badInput is what a client may send wrongly, and what it is answered.
var badInput = []struct {
	sent, message string
	why           reason.Reason
}{
	{``, "Invalid JSON message structure", reason.BadMessage},
	{`hello`, "Invalid JSON message structure", reason.BadMessage},
	{`{"type":"AUTH"`, "Invalid JSON message structure", reason.BadMessage},
	{`{"type":"AUTH"}{}`, "Invalid JSON message structure", reason.BadMessage},
	{`{'type':'AUTH'}`, "Invalid JSON message structure", reason.BadMessage},
	{`undefined`, "Invalid JSON message structure", reason.BadMessage},
	{"\ufeff{}", "Invalid JSON message structure", reason.BadMessage},
	{`{}`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`[]`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`[{"type":"AUTH"}]`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`1`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`1e999`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`null`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`true`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`"AUTH"`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`{"Type":"AUTH","token":"x"}`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`{"TYPE":"NOTIFICATION"}`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`{"token":"x"}`, "Invalid message structure. Type field is required", reason.BadMessage},
	{`{"type":null}`, "Invalid message type", reason.BadMessage},
	{`{"type":""}`, "Invalid message type", reason.BadMessage},
	{`{"type":1}`, "Invalid message type", reason.BadMessage},
	{`{"type":["AUTH"],"token":"x"}`, "Invalid message type", reason.BadMessage},
	{`{"type":"auth","token":"x"}`, "Invalid message type", reason.BadMessage},
	{`{"type":"AUTH ","token":"x"}`, "Invalid message type", reason.BadMessage},
	{`{"type":"SUBSCRIBE"}`, "Invalid message type", reason.BadMessage},
	{`{"type":"AUTH","type":"x"}`, "Invalid message type", reason.BadMessage},
	{`{"type":"AUTH"}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","token":""}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","token":null}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","token":1}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","token":{"a":"b"}}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","token":["x"]}`, "Token is required", reason.TokenRequired},
	{`{"type":"AUTH","Token":"x"}`, "Token is required", reason.TokenRequired},
}

// Bad input is answered alike in a text and in a binary frame, before
// authentication, while it is pending, and after it.
func TestBadInput(t *testing.T) {
	for _, tt := range badInput {
		t.Run(tt.sent, func(t *testing.T) {
			g := start(t, nil)
			c := g.dial()
			c.write(masked(textFrame, tt.sent))
			c.hearsTheEnd(wrong(tt.message))
			g.closedFor(tt.why)
			if g.backend.count() != 0 {
				t.Error("the backend was asked")
			}
			c = g.dial()
			c.write(masked(binaryFrame, tt.sent))
			c.hearsTheEnd(wrong(tt.message))

			c = g.dial()
			c.say(authFrame("pending"), tt.sent)
			c.hearsTheEnd(wrong(tt.message))

			c = g.in(token1, yes1)
			c.say(tt.sent)
			c.hearsTheEnd(wrong(tt.message))
			g.empty()
		})
	}
}

// The error frames as bytes: header and all.
func TestErrorFrameByteByByte(t *testing.T) {
	c := start(t, nil).dial()
	c.say(`{"type":"x"}`)
	want := "\x81\x32" + `{"success":false,"message":"Invalid message type"}` + "\x88\x00"
	got := make([]byte, len(want))
	for i := range got {
		b, err := c.in.ReadByte()
		if err != nil {
			t.Fatal(err)
		}
		got[i] = b
	}
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A binary frame that is not UTF-8 can't be JSON; a text frame is the
// transport's business.
func TestBinaryFrames(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.write(masked(binaryFrame, "{\"type\":\"\xff\"}"))
	c.hearsTheEnd(wrong("Invalid JSON message structure"))
	c = g.dial()
	c.write(masked(binaryFrame, authFrame(token1)))
	c.hears(yes1)
	c = g.dial()
	c.write(masked(textFrame, "{\"type\":\"\xff\"}"))
	if first, got := c.next(); first != closeFrame || !strings.HasPrefix(got, "\x03\xef") {
		t.Errorf("got %#x %q, want a close with 1007", first, got)
	}
}

// A frame in pieces is one message.
func TestFragments(t *testing.T) {
	c := start(t, nil).dial()
	frame := authFrame(token1)
	c.write(masked(0x01, frame[:5]), masked(0x00, frame[5:9]), masked(pingFrame, ""), masked(fin, frame[9:]))
	if first, _ := c.next(); first != pongFrame {
		t.Errorf("got %#x, want a pong between the fragments", first)
	}
	c.hears(yes1)
}

func TestReadLimit(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	pad := strings.Repeat(" ", ReadLimit-len(authFrame(token1)))
	c.say(authFrame(token1) + pad)
	c.hears(yes1)
	c.say(authFrame(token1) + pad + " ")
	if first, got := c.next(); first != closeFrame || !strings.HasPrefix(got, "\x03\xf1") {
		t.Errorf("got %#x %q, want a close with 1009", first, got)
	}
}

// The client library's view of a close without a code: 1005.
func TestClientSees1005(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+start(t, nil).addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err = c.Read(ctx); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Read(ctx)
	if status := (websocket.CloseError{}); !errors.As(err, &status) || status.Code != websocket.StatusNoStatusRcvd {
		t.Errorf("closed with %v, want 1005", err)
	}
}
