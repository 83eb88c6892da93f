package receive

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
)

// eventSource is server-sent events. The first block, a position, says that the
// client is subscribed.
//
// Only whole blocks count: a position in one that broke off would be that of a
// publication which the client has not got.
type eventSource struct{}

func (eventSource) request(c *conn) []byte {
	g := c.group
	t := g.target(c)
	path := query(t.path, "token", url.PathEscape(g.token(c)))
	if g.Channels {
		path = query(path, "channels", url.QueryEscape(Name(g.Seed, c.index())))
	}
	if g.Device {
		path = query(path, "device", device(c))
	}
	last := ""
	if len(c.at) > 0 {
		last = "Last-Event-ID: " + string(c.at) + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", path, t.host, last)
}

// goodbye implements protocol: a stream has none.
func (eventSource) goodbye() []byte { return nil }

func (e eventSource) read(c *conn, b []byte, now int64) (taken int, err error) {
	if c.phase == greeting {
		if taken, err = answer(b, "200"); taken == 0 || err != nil {
			return 0, err
		}
		c.phase = subscribing
	}
	for {
		n := bytes.Index(b[taken:], []byte("\n\n"))
		if n < 0 {
			return taken, nil
		}
		if err := e.block(c, b[taken:taken+n], now); err != nil {
			return taken, err
		}
		taken += n + 2
	}
}

// block takes an event: its lines, without the empty one.
func (eventSource) block(c *conn, b []byte, now int64) error {
	var event, id, data []byte
	for len(b) > 0 {
		line := b
		if n := bytes.IndexByte(b, '\n'); n >= 0 {
			line, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		switch {
		case bytes.HasPrefix(line, []byte("data: ")):
			data = line[6:]
		case bytes.HasPrefix(line, []byte("id: ")):
			id = line[4:]
		case bytes.HasPrefix(line, []byte("event: ")):
			event = line[7:]
		}
	}
	if len(id) > 0 && c.group.Positions {
		c.at = append(c.at[:0], id...)
	}
	switch string(event) {
	case "position":
		c.subscribed(now)
	case "reset":
		c.group.report.Resets++
	case "denied":
		return fmt.Errorf("refused: %.100s", data)
	case "unavailable", "expired":
		c.why = string(event) + " " + reasonIn(data)
		return errors.New(c.why)
	default:
		if len(data) > 0 {
			c.found(data, now)
		}
	}
	return nil
}

// reasonIn is the reason in {"reason":"drain"}.
func reasonIn(data []byte) string {
	_, rest, _ := bytes.Cut(data, []byte(`"reason":"`))
	reason, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(reason)
}
