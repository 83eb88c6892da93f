package messagechannel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A client is a TCP socket whose frames are made by hand, so that a test sees
// every byte that the gateway sends.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

const (
	fin         byte = 0x80
	textFrame   byte = fin | 1
	binaryFrame byte = fin | 2
	closeFrame  byte = fin | 8
	pingFrame   byte = fin | 9
	pongFrame   byte = fin | 10
)

// dial opens a connection and does the handshake.
func (g *gateway) dial() *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"+
		"Origin: https://example.org\r\nUser-Agent: byte by byte\r\n\r\n", g.addr)
	c := &client{t: g.t, conn: conn, in: bufio.NewReader(conn)}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("handshake: %v, %v", response, err)
	}
	return c
}

// masked is a client's frame; first is its first byte.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func (c *client) write(frames ...[]byte) {
	c.t.Helper()
	if _, err := c.conn.Write(bytes.Join(frames, nil)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// say sends text frames in one write.
func (c *client) say(payloads ...string) {
	c.t.Helper()
	var frames [][]byte
	for _, p := range payloads {
		frames = append(frames, masked(textFrame, p))
	}
	c.write(frames...)
}

func authFrame(token string) string { return `{"type":"AUTH","token":"` + token + `"}` }

const notification = `{"type":"NOTIFICATION"}`

// next reads a frame.
func (c *client) next() (first byte, payload string) {
	c.t.Helper()
	first, payload, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for a frame: %v", err)
	}
	return first, payload
}

func (c *client) read() (first byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, "", err
	}
	length := uint64(head[1])
	switch length { // with the mask bit set it would be none of these
	case 126:
		var n uint16
		err = binary.Read(c.in, binary.BigEndian, &n)
		length = uint64(n)
	case 127:
		err = binary.Read(c.in, binary.BigEndian, &length)
	}
	if err != nil {
		return 0, "", err
	}
	b := make([]byte, length)
	_, err = io.ReadFull(c.in, b)
	return head[0], string(b), err
}

// hears checks the next frames, byte by byte, each a text frame.
func (c *client) hears(payloads ...string) {
	c.t.Helper()
	for _, want := range payloads {
		if first, got := c.next(); first != textFrame || got != want {
			c.t.Fatalf("got %#x %q, want %#x %q", first, got, textFrame, want)
		}
	}
}

// hearsNothing checks that nothing was sent up to now: the next frame is the
// answer to a ping.
func (c *client) hearsNothing() {
	c.t.Helper()
	c.write(masked(pingFrame, "anything?"))
	if first, got := c.next(); first != pongFrame || got != "anything?" {
		c.t.Fatalf("got %#x %q, want nothing before the pong", first, got)
	}
}

// hearsTheEnd checks that the next frames are these text frames and then a
// close frame without a code, answers it, and that nothing follows.
func (c *client) hearsTheEnd(payloads ...string) {
	c.t.Helper()
	c.hears(payloads...)
	c.hearsClose("")
}

// hearsClose checks for a close frame with this payload and for the end.
func (c *client) hearsClose(want string) {
	c.t.Helper()
	if first, got := c.next(); first != closeFrame || got != want {
		c.t.Fatalf("got %#x %q, want a close frame with %q", first, got, want)
	}
	c.conn.Write(masked(closeFrame, want)) // may find the gateway gone
	if first, got, err := c.read(); err == nil {
		c.t.Fatalf("behind the close frame came %#x %q", first, got)
	}
}

// in authenticates a new connection and subscribes it.
func (g *gateway) in(token, reply string) *client {
	g.t.Helper()
	before := g.hub.Stats().Subscriptions
	c := g.dial()
	c.say(authFrame(token))
	c.hears(reply)
	c.say(notification)
	g.subscribed(before + 1)
	return c
}
