package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// One client on an embedded NATS: what is published on its channels' subjects
// reaches it, another user's channel stays closed, and a token that is known is
// not asked about again.
func TestCentrifuge(t *testing.T) {
	conn := connect(t)
	var asked atomic.Int32
	if _, err := conn.Subscribe("authentication", func(m *nats.Msg) {
		asked.Add(1)
		reply := `{"success":false,"user_id":null}`
		if user, ok := strings.CutPrefix(string(m.Data), "bench:"); ok {
			reply = `{"success":true,"user_id":"` + user + `","cache_for":3600}`
		}
		if err := m.Respond([]byte(reply)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	node, err := newNode(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Shutdown(t.Context()) }()
	web := httptest.NewServer(handler(node))
	defer web.Close()
	url := "ws" + strings.TrimPrefix(web.URL, "http") + path

	for range 2 {
		c := dial(t, url)
		c.say(`{"id":1,"connect":{"token":"bench:7"}}`)
		c.hear(`"connect"`)
		c.say(`{"id":2,"subscribe":{"channel":"#8"}}`)
		c.hear(`"error"`)
		c.say(`{"id":3,"subscribe":{"channel":"#7"}}`)
		c.hear(`"subscribe"`)
		c.say(`{"id":4,"subscribe":{"channel":"news"}}`)
		c.hear(`"subscribe"`)
		// The subscriptions went out on this connection, so they are before these.
		for _, subject := range []string{"notification.8", "notification.7", "channel.news"} {
			data, err := json.Marshal(subject)
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Publish(subject, data); err != nil {
				t.Fatal(err)
			}
		}
		both := c.hear(`"notification.7"`, `"channel.news"`)
		if strings.Contains(both, "notification.8") {
			t.Errorf("another user's publication arrived: %s", both)
		}
		_ = c.conn.CloseNow()
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the backend was asked %d times about one token, want 1", n)
	}

	c := dial(t, url)
	c.say(`{"id":1,"connect":{"token":"wrong"}}`)
	if _, _, err := c.conn.Read(c.ctx); websocket.CloseStatus(err) != 3500 {
		t.Errorf("a wrong token got %v, want close code 3500", err)
	}
}

func connect(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the embedded NATS is not ready within 10 s")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

type client struct {
	t    *testing.T
	ctx  context.Context // ends everything after 10 s
	conn *websocket.Conn
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t, ctx, conn}
}

func (c *client) say(frame string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads until each of the parts has come, and returns all that came.
func (c *client) hear(parts ...string) (all string) {
	c.t.Helper()
	missing := func() bool {
		for _, p := range parts {
			if !strings.Contains(all, p) {
				return true
			}
		}
		return false
	}
	for missing() {
		_, data, err := c.conn.Read(c.ctx)
		if err != nil {
			c.t.Fatalf("waiting for %q, after %q: %v", parts, all, err)
		}
		all += string(data)
	}
	return all
}
