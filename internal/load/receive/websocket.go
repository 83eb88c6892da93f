package receive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A language is what a dialect says in WebSocket messages.
type language interface {
	// path is where the handshake goes, which subprotocol it offers.
	path(c *conn) (path, subprotocol string)
	// greet is the first message, behind the handshake.
	greet(c *conn) []byte
	// message takes one from the server: a whole one, unless the language is a
	// stream of bytes.
	message(c *conn, p []byte, now int64) error
	// pong takes the answer to a ping of its own.
	pong(c *conn, now int64)
	// stream says that messages have no meaning as such.
	stream() bool
}

// websocket is the protocol under a language.
type websocket struct{ language language }

// request implements protocol. The key is always the same: what is checked of
// the answer is its status.
func (w websocket) request(c *conn) []byte {
	path, sub := w.language.path(c)
	if sub != "" {
		sub = "Sec-WebSocket-Protocol: " + sub + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", path, c.group.target(c).host, sub)
}

// goodbye implements protocol.
func (websocket) goodbye() []byte { return appendFrame(nil, opClose, []byte{0x03, 0xe8}) }

// read implements protocol.
func (w websocket) read(c *conn, b []byte, now int64) (taken int, err error) {
	if c.phase == greeting {
		if taken, err = answer(b, "101"); taken == 0 || err != nil {
			return 0, err
		}
		c.phase = presenting
		c.out = append(c.out, w.language.greet(c)...)
	}
	for {
		f, size := parseFrame(b[taken:])
		if size == 0 {
			return taken, nil
		}
		taken += size
		if err := w.frame(c, f, now); err != nil {
			return taken, err
		}
	}
}

func (w websocket) frame(c *conn, f frame, now int64) error {
	switch f.op {
	case opPing:
		c.out = appendFrame(c.out, opPong, f.payload)
	case opPong:
		w.language.pong(c, now)
	case opClose:
		return closed(c, f.payload)
	case opText, opBinary, opContinuation:
		if (!f.fin || f.op == opContinuation) && !w.language.stream() {
			return errors.New("a message came in fragments, which the generator does not put together")
		}
		return w.language.message(c, f.payload, now)
	default:
		return fmt.Errorf("a frame with the opcode %d came", f.op)
	}
	return nil
}

// closed is why the other side closed: what it said in words of its own, else
// the close frame's code and text.
func closed(c *conn, p []byte) error {
	c.out = appendFrame(c.out, opClose, p)
	switch {
	case c.why != "":
		return errors.New(c.why)
	case len(p) < 2:
		return errors.New("1005 closed without a code")
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf("%d %s", binary.BigEndian.Uint16(p), p[2:])))
}

// answer looks at the head of an HTTP answer; taken is 0 while it is not whole.
func answer(b []byte, status string) (taken int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	first, fields, _ := strings.Cut(string(b[:end]), "\r\n")
	if words := strings.Fields(first); len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") || words[1] != status {
		why := ""
		for field := range strings.SplitSeq(fields, "\r\n") {
			if name, value, _ := strings.Cut(field, ":"); strings.EqualFold(name, "Belfry-Reason") {
				why = " (" + strings.TrimSpace(value) + ")"
			}
		}
		return 0, fmt.Errorf("the handshake was answered by %.100q%s", first, why)
	}
	return end + 4, nil
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// A frame is one from the server, which does not mask.
type frame struct {
	op      byte
	fin     bool
	payload []byte
}

// parseFrame reads a frame at the start of b; size is 0 while it is not whole.
func parseFrame(b []byte) (f frame, size int) {
	if len(b) < 2 {
		return f, 0
	}
	head, n := 2, uint64(b[1]) // a masked one would be a length that never comes
	switch n {
	case 126:
		if head = 4; len(b) < head {
			return f, 0
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return f, 0
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	if uint64(len(b)-head) < n {
		return f, 0
	}
	size = head + int(n)
	return frame{op: b[0] & 0x7F, fin: b[0]&0x80 != 0, payload: b[head:size]}, size
}

// appendFrame appends a client's frame: masked, by a key of zeros.
func appendFrame(dst []byte, op byte, p []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(p); {
	case n <= 125:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), p...)
}

// prepared is a frame that is the same for everyone.
func prepared(op byte, text string) []byte { return slices.Clip(appendFrame(nil, op, []byte(text))) }
