package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	// maxNotification bounds what a listener takes, in bytes: more than NATS's
	// largest payload.
	maxNotification = 64 << 20
	dialWithin      = 10 * time.Second
	// answerWithin is longer than a gateway may take to say that the backend
	// did not answer.
	answerWithin = 30 * time.Second
)

// Listen connects to a gateway as a client of the dialect messagechannel does,
// authenticates with the token, and calls out with each notification. It
// returns when the connection ends, with the reason, or nil when ctx does.
// status gets a line for people whenever something changes. publicAddr is
// host:port, or a ws:// or wss:// URL.
func Listen(ctx context.Context, publicAddr, token string, out func(line []byte), status func(string)) error {
	url := publicAddr
	if !strings.Contains(url, "://") {
		url = "ws://" + url + "/"
	}
	c, err := dial(ctx, url)
	if err != nil {
		return err
	}
	defer c.CloseNow()
	c.SetReadLimit(maxNotification)
	status("connected to " + url)
	if err := authenticate(ctx, c, token); err != nil {
		return err
	}
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"NOTIFICATION"}`)); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	status("authenticated, listening")

	// Read is not given ctx: that would cut the connection off, and this says
	// goodbye.
	leave := context.AfterFunc(ctx, func() { _ = c.Close(websocket.StatusNormalClosure, "") })
	defer leave()
	for {
		_, data, err := c.Read(context.Background())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return ended(err)
		}
		out(data)
	}
}

func dial(ctx context.Context, url string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	c, answer, err := websocket.Dial(ctx, url, nil)
	switch {
	case err == nil:
		return c, nil
	case answer != nil && answer.Header.Get("Belfry-Reason") != "":
		return nil, fmt.Errorf("connecting to %s: refused with %s, reason %s", url, answer.Status, answer.Header.Get("Belfry-Reason"))
	}
	return nil, fmt.Errorf("connecting to %s: %w", url, err)
}

// authenticate sends the token and waits for the answer.
func authenticate(ctx context.Context, c *websocket.Conn, token string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	frame, err := json.Marshal(map[string]string{"type": "AUTH", "token": token})
	if err != nil {
		return fmt.Errorf("encoding the token: %w", err)
	}
	if err := c.Write(ctx, websocket.MessageText, frame); err != nil {
		return fmt.Errorf("sending the token: %w", err)
	}
	_, data, err := c.Read(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the answer to the token: %w", err)
	}
	var answer struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("reading the answer to the token: %w", err)
	}
	switch {
	case answer.Success:
		return nil
	case answer.Message == "":
		return errors.New("not authenticated: the backend refused the token")
	}
	return fmt.Errorf("not authenticated: %s", answer.Message)
}

// ended says how a connection that listened came to its end.
func ended(err error) error {
	var frame websocket.CloseError
	if errors.As(err, &frame) {
		return fmt.Errorf("the gateway closed the connection: code %d, %q", frame.Code, frame.Reason)
	}
	return fmt.Errorf("the connection broke: %w", err)
}
