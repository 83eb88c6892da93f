package receive

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"belfry/internal/load/payload"
)

// errEarly is a gateway's worst mistake.
var errEarly = errors.New("a publication came before the answer to the token")

// messageChannel is Belfry's first dialect, and the original's.
//
// It has no answer to NOTIFICATION. So a ping goes in the same write, and its
// pong says that the gateway has read NOTIFICATION. The client may still have to
// be caught up with then: who publishes waits for sentinels as well.
type messageChannel struct{}

var subscribe = append(prepared(opText, `{"type":"NOTIFICATION"}`), prepared(opPing, "bench")...)

func (messageChannel) path(c *conn) (path, subprotocol string) {
	path = c.group.target(c).path
	if c.group.Device {
		path = query(path, "device", device(c))
	}
	return path, ""
}

func (messageChannel) greet(c *conn) []byte {
	return appendFrame(nil, opText, []byte(`{"type":"AUTH","token":`+strconv.Quote(c.group.token(c))+`}`))
}

func (messageChannel) message(c *conn, p []byte, now int64) error {
	m, ours := c.group.reader.Read(p)
	switch {
	case ours && c.phase >= subscribing:
		c.group.got(c, m, now)
	case ours:
		return errEarly
	case c.phase == presenting && bytes.Contains(p, []byte(`"success":true`)):
		c.phase = subscribing
		c.out = append(c.out, subscribe...)
	case bytes.HasPrefix(p, []byte(`{"success":false`)) || c.phase == presenting:
		c.why = fmt.Sprintf("refused: %.100s", p)
	case bytes.Contains(p, payload.Key):
		c.group.report.Foreign++
	}
	return nil
}

// device is the name of a connection's own place among the user's.
func device(c *conn) string { return "d" + strconv.Itoa(c.number) }

func (messageChannel) pong(c *conn, now int64) { c.subscribed(now) }

func (messageChannel) stream() bool { return false }
