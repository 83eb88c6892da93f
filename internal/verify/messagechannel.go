package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"

	"belfry/internal/verify/judge"
)

// pingEvery is how often a client without heartbeats sees whether the gateway is
// still there.
const pingEvery = 2 * time.Second

// largest bounds a message, in bytes.
const largest = 4 << 20

// messageChannel is a WebSocket on /, with no positions.
func messageChannel(ctx context.Context, c *client, to target, conn *judge.Conn) string {
	w, abort, err := c.upgrade(ctx, to)
	if err != nil {
		return "connecting: " + err.Error()
	}
	defer abort()
	plan := c.plan()
	ours, stop := c.breakOff(ctx, plan, abort, func() { _ = w.Close(websocket.StatusNormalClosure, "") }, abort)
	defer stop()
	if why := c.authenticate(ctx, w); why != "" {
		return why
	}
	alive, end := context.WithCancel(ctx)
	defer end()
	go watch(alive, w, abort)
	for begun := time.Now(); ; {
		_, data, err := w.Read(context.Background())
		if err != nil {
			if ours.Load() {
				return "broken off by the client"
			}
			return err.Error()
		}
		if bytes.HasPrefix(data, []byte(`{"success":false`)) { // the dialect's way to say why it ends
			return "the gateway says " + string(data)
		}
		c.event(conn, judge.Event{What: judge.Got, ID: idOf(data), Channel: c.history.Channels[0]})
		c.nap(ctx, &plan, begun)
	}
}

// upgrade opens the WebSocket.
func (c *client) upgrade(ctx context.Context, to target) (*websocket.Conn, func(), error) {
	var abort func()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		conn, abort, err = dial(ctx, to)
		return conn, err
	}}
	transport.DialTLSContext = transport.DialContext
	u := *to.url
	u.Path = "/"
	if c.device != "" {
		u.RawQuery = url.Values{"device": {c.device}}.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	w, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		if abort != nil {
			abort()
		}
		return nil, nil, err
	}
	w.SetReadLimit(largest)
	return w, abort, nil
}

// authenticate also subscribes: notifications flow behind the reply.
func (c *client) authenticate(ctx context.Context, w *websocket.Conn) string {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	hello, _ := json.Marshal(map[string]string{"type": "AUTH", "token": c.token}) // strings can't fail
	for _, text := range [][]byte{hello, []byte(`{"type":"NOTIFICATION"}`)} {
		if err := w.Write(ctx, websocket.MessageText, text); err != nil {
			return "authenticating: " + err.Error()
		}
	}
	_, reply, err := w.Read(ctx)
	if err != nil {
		return "authenticating: " + err.Error()
	}
	if !bytes.Contains(reply, []byte(`"success":true`)) {
		return "authenticating: " + string(reply)
	}
	return ""
}

// watch aborts a connection that answers no pings.
func watch(ctx context.Context, w *websocket.Conn, abort func()) {
	for {
		select {
		case <-time.After(pingEvery):
		case <-ctx.Done():
			return
		}
		ping, cancel := context.WithTimeout(ctx, silence)
		err := w.Ping(ping)
		cancel()
		if err != nil {
			abort()
			return
		}
	}
}
