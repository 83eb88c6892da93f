package receive

import (
	"bytes"
	"fmt"
	"strconv"
)

// centrifuge is the Centrifuge protocol in JSON: messages of one or more lines,
// a reply or a push each. The reply to the second command, subscribe, says that
// it is subscribed. An empty reply is a ping, an empty command its pong.
type centrifuge struct{}

var (
	emptyCommand = prepared(opText, "{}")
	pushStart    = []byte(`{"push"`)
	subscribedID = []byte(`"id":2`)
	errorKey     = []byte(`"error":{`)
)

func (centrifuge) path(c *conn) (path, subprotocol string) { return c.group.target(c).path, "" }

func (centrifuge) greet(c *conn) []byte {
	g := c.group
	channel := Name(g.Seed, c.index())
	if !g.Channels {
		channel = "#" + g.user(c)
	}
	c.phase = subscribing
	return appendFrame(nil, opText, []byte(`{"id":1,"connect":{"token":`+strconv.Quote(g.token(c))+`}}`+"\n"+
		`{"id":2,"subscribe":{"channel":`+strconv.Quote(channel)+`}}`))
}

func (centrifuge) message(c *conn, p []byte, now int64) error {
	for line := range bytes.SplitSeq(p, []byte{'\n'}) {
		if bytes.HasPrefix(line, pushStart) {
			c.found(line, now)
			continue
		}
		switch {
		case len(line) == 0:
		case string(line) == "{}":
			c.out = append(c.out, emptyCommand...)
		case bytes.Contains(line, errorKey):
			return fmt.Errorf("refused: %.100s", line)
		case bytes.Contains(line, subscribedID) && bytes.Contains(line, []byte(`"subscribe":`)):
			c.subscribed(now)
		}
	}
	return nil
}

func (centrifuge) pong(*conn, int64) {}

func (centrifuge) stream() bool { return false }

// found takes a payload that is somewhere in b.
func (c *conn) found(b []byte, now int64) {
	switch m, ours, found := c.group.reader.Find(b); {
	case ours:
		c.group.got(c, m, now)
	case found:
		c.group.report.Foreign++
	}
}
