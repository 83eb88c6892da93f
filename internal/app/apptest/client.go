package apptest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"belfry/internal/app"
)

// A Client is a WebSocket client that remembers what it was sent.
type Client struct {
	t    testing.TB
	conn *websocket.Conn

	mu    sync.Mutex
	got   []string
	kinds []websocket.MessageType // of got
	next  int                     // the first of got that Next has not returned
	moved chan struct{}           // closed and replaced whenever something comes
	err   error                   // why it ended
}

// Dial connects to a gateway's public address (host:port, or a URL).
func Dial(t testing.TB, public string, header ...string) *Client {
	t.Helper()
	c, answer, err := TryDial(t, public, header...)
	if err != nil {
		t.Fatalf("connecting to %s: %v (%v)", public, err, answer)
	}
	return c
}

// TryDial is Dial for those that are refused: it returns the HTTP answer.
// header is names and values in turn.
func TryDial(t testing.TB, public string, header ...string) (*Client, *http.Response, error) {
	t.Helper()
	if !strings.Contains(public, "://") {
		public = "ws://" + public + "/"
	}
	options := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		options.HTTPHeader.Add(header[i], header[i+1])
	}
	return dial(t, public, options)
}

// DialWith is TryDial with an HTTP client of the test's own, for TLS.
func DialWith(t testing.TB, url string, client *http.Client) (*Client, *http.Response, error) {
	t.Helper()
	return dial(t, url, &websocket.DialOptions{HTTPClient: client})
}

func dial(t testing.TB, url string, options *websocket.DialOptions) (*Client, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, url, options)
	if err != nil {
		return nil, answer, err
	}
	conn.SetReadLimit(-1)
	c := &Client{t: t, conn: conn, moved: make(chan struct{})}
	t.Cleanup(c.Cut)
	go c.read()
	return c, answer, nil
}

func (c *Client) read() {
	for {
		kind, data, err := c.conn.Read(context.Background())
		c.mu.Lock()
		if err == nil {
			c.got, c.kinds = append(c.got, string(data)), append(c.kinds, kind)
		}
		c.err = err
		close(c.moved)
		c.moved = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Send sends a text frame.
func (c *Client) Send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("sending %q: %v", text, err)
	}
}

// Auth sends a token and returns the reply.
func (c *Client) Auth(token string) string {
	c.t.Helper()
	frame, err := json.Marshal(map[string]string{"type": "AUTH", "token": token})
	if err != nil {
		c.t.Fatal(err)
	}
	c.Send(string(frame))
	return c.Next()
}

// Want asks for notifications. Nothing answers that; Subscribed waits for it.
func (c *Client) Want() {
	c.t.Helper()
	c.Send(`{"type":"NOTIFICATION"}`)
}

// Next waits for the next message.
func (c *Client) Next() string {
	c.t.Helper()
	text, err := c.TryNext(Patience)
	if err != nil {
		c.t.Fatalf("waiting for a message: %v", err)
	}
	return text
}

// NextFrame is Next, and whether it came in a binary frame.
func (c *Client) NextFrame() (text string, binary bool) {
	c.t.Helper()
	text = c.Next()
	c.mu.Lock()
	defer c.mu.Unlock()
	return text, c.kinds[c.next-1] == websocket.MessageBinary
}

// ExpectMixed wants the sequences, each in its order and whole, and nothing else
// among them: between two sequences there is no order.
func (c *Client) ExpectMixed(sequences ...[]string) {
	c.t.Helper()
	left := 0
	for _, s := range sequences {
		left += len(s)
	}
	for ; left > 0; left-- {
		got := c.Next()
		i := slices.IndexFunc(sequences, func(s []string) bool { return len(s) > 0 && s[0] == got })
		if i < 0 {
			c.t.Fatalf("got %q, want the next of one of %q", got, sequences)
		}
		sequences[i] = sequences[i][1:]
	}
}

// TryNext waits for the next message, for d.
func (c *Client) TryNext(d time.Duration) (string, error) {
	deadline := time.After(d)
	for {
		c.mu.Lock()
		if c.next < len(c.got) {
			c.next++
			defer c.mu.Unlock()
			return c.got[c.next-1], nil
		}
		moved, err := c.moved, c.err
		c.mu.Unlock()
		if err != nil {
			return "", err
		}
		select {
		case <-moved:
		case <-deadline:
			return "", errors.New("nothing came in time")
		}
	}
}

// Expect waits for these messages, in this order and with nothing between.
func (c *Client) Expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.Next(); got != w {
			c.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// Got is everything that has come so far.
func (c *Client) Got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// Ended waits for the end of the connection and returns the close code, 1005
// for a close frame without one, -1 for no close frame.
func (c *Client) Ended() int {
	c.t.Helper()
	for {
		if _, err := c.TryNext(Patience); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.err == nil {
				c.t.Fatalf("the connection has not ended within %v", Patience)
			}
			return int(websocket.CloseStatus(c.err))
		}
	}
}

// Open tells whether the connection is still open.
func (c *Client) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// Close says goodbye.
func (c *Client) Close() { _ = c.conn.Close(websocket.StatusNormalClosure, "") }

// Cut ends the connection without a word.
func (c *Client) Cut() { _ = c.conn.CloseNow() }

// Listen connects as the user of Backend and returns when the user's
// notifications flow, on notification.<user> and on notification_<user>.
func Listen(t testing.TB, a *app.App, user string) *Client {
	t.Helper()
	before := Metric(t, a, "belfry_subscriptions")
	c := Join(t, a, user)
	Subscribed(t, a, int(before)+1)
	return c
}

// Join is Listen without waiting until notifications flow: with many at once,
// call Subscribed behind them.
func Join(t testing.TB, a *app.App, user string) *Client {
	t.Helper()
	c := Dial(t, a.Addresses().Public)
	if reply := c.Auth("user:" + user); !strings.Contains(reply, `"success":true`) {
		t.Fatalf("authenticating as %s: %s", user, reply)
	}
	c.Want()
	return c
}

// Subscribed waits until so many subscriptions are in force, as far as NATS.
func Subscribed(t testing.TB, a *app.App, n int) {
	t.Helper()
	Eventually(t, "the connections are subscribed", func() bool { return Metric(t, a, "belfry_subscriptions") >= float64(n) })
	// What the gateway asked NATS for before this request is in force when the
	// answer is there.
	c := Dial(t, a.Addresses().Public)
	c.Auth("user:nobody")
	c.Close()
}
