package receive

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// natsClient is the NATS protocol over WebSocket: frames carry a stream of
// bytes, whose lines and payloads need not end where a frame does. The answer to
// a PING behind SUB says that it is subscribed.
type natsClient struct{}

var (
	natsPong = prepared(opBinary, "PONG\r\n")
	crlf     = []byte("\r\n")
)

func (natsClient) path(c *conn) (path, subprotocol string) { return c.group.target(c).path, "" }

func (natsClient) greet(c *conn) []byte {
	c.phase = subscribing
	return appendFrame(nil, opBinary, []byte(`CONNECT {"verbose":false,"pedantic":false,"protocol":1,"lang":"belfry-bench","version":"1"}`+"\r\nSUB "+
		c.group.subject(c)+" 1\r\nPING\r\n"))
}

func (natsClient) stream() bool { return true }

func (natsClient) pong(*conn, int64) {}

func (n natsClient) message(c *conn, p []byte, now int64) error {
	if len(c.part) > 0 {
		c.part = append(c.part, p...)
		p = c.part
	}
	for {
		size, err := n.operation(c, p, now)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		p = p[size:]
	}
	if len(p) == 0 {
		c.part = nil
	} else {
		c.part = append(c.part[:0], p...)
	}
	return nil
}

// operation takes one from the front of b; its size is 0 while it is not whole.
func (natsClient) operation(c *conn, b []byte, now int64) (size int, err error) {
	end := bytes.Index(b, crlf)
	if end < 0 {
		return 0, nil
	}
	line := b[:end]
	switch {
	case bytes.HasPrefix(line, []byte("MSG ")):
		n, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
		if err != nil || n < 0 {
			return 0, fmt.Errorf("NATS sent %.100q", line)
		}
		if size = end + 2 + n + 2; len(b) < size {
			return 0, nil
		}
		c.found(b[end+2:end+2+n], now)
		return size, nil
	case string(line) == "PING":
		c.out = append(c.out, natsPong...)
	case string(line) == "PONG":
		c.subscribed(now)
	case bytes.HasPrefix(line, []byte("-ERR")):
		c.why = string(line)
		if c.phase != live {
			return 0, errors.New(c.why)
		}
	case bytes.HasPrefix(line, []byte("INFO ")), string(line) == "+OK":
	default:
		return 0, fmt.Errorf("NATS sent %.100q", line)
	}
	return end + 2, nil
}
