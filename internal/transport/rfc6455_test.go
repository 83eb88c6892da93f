package transport_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// TestFrames sends what RFC 6455 allows and wants its echo.
func TestFrames(t *testing.T) {
	long := strings.Repeat("ä", 30_000) // a 64-bit length would be 65,536 up; the limit is below
	tests := []struct {
		name string
		send [][]byte // each in a write of its own, but see TestSplitAnywhere
		want []string // echoed messages, "p:" before a pong
	}{
		{"text", [][]byte{text("hello")}, []string{"hello"}},
		{"empty text", [][]byte{text("")}, []string{""}},
		{"125 bytes", [][]byte{text(strings.Repeat("x", 125))}, []string{strings.Repeat("x", 125)}},
		{"126 bytes", [][]byte{text(strings.Repeat("x", 126))}, []string{strings.Repeat("x", 126)}},
		{"the limit", [][]byte{text(strings.Repeat("x", readLimit))}, []string{strings.Repeat("x", readLimit)}},
		{"60,000 bytes of UTF-8", [][]byte{text(long)}, []string{long}},
		{"many in one write", [][]byte{append(append(text("a"), text("b")...), text("c")...)}, []string{"a", "b", "c"}},
		{"fragments", [][]byte{frame(0x01, []byte("he")), frame(0x00, []byte("l")), frame(0x80, []byte("lo"))}, []string{"hello"}},
		{"fragments split a rune", [][]byte{frame(0x01, []byte("\xc3")), frame(0x80, []byte("\xa4"))}, []string{"ä"}},
		{"empty fragments", [][]byte{frame(0x01, nil), frame(0x00, nil), frame(0x80, []byte("x"))}, []string{"x"}},
		{"ping between fragments", [][]byte{frame(0x01, []byte("he")), frame(0x89, []byte("1")), frame(0x80, []byte("y"))}, []string{"p:1", "hey"}},
		{"ping of 125 bytes", [][]byte{frame(0x89, bytes.Repeat([]byte("p"), 125))}, []string{"p:" + strings.Repeat("p", 125)}},
		{"unsolicited pong", [][]byte{frame(0x8A, []byte("?")), text("on")}, []string{"on"}},
		{"after fragments another", [][]byte{frame(0x01, []byte("a")), frame(0x80, nil), text("b")}, []string{"a", "b"}},
	}
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := b.dial()
				c.t = t
				for _, p := range test.send {
					c.send(p)
				}
				for _, want := range test.want {
					if pong, ok := strings.CutPrefix(want, "p:"); ok {
						c.expect(0x8A, pong)
					} else {
						c.expect(0x81, want)
					}
				}
				c.send(closing(1000, "done"))
				c.expectClose(1000)
				c.expectEOF()
			})
		}
	})
}

// TestSplitAnywhere cuts a stream of frames at every byte: what the client sees
// must not depend on how TCP cuts it.
func TestSplitAnywhere(t *testing.T) {
	all := append(text("one"), frame(0x01, []byte("tw"))...)
	all = append(all, frame(0x89, []byte("!"))...)
	all = append(all, frame(0x80, []byte("o"))...)
	all = append(all, text(strings.Repeat("3", 300))...)
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		for cut := range all {
			c := b.dialWith(all[:cut]) // also: what comes with the handshake
			c.t = t
			c.send(all[cut:])
			c.expect(0x81, "one")
			c.expect(0x8A, "!")
			c.expect(0x81, "two")
			c.expect(0x81, strings.Repeat("3", 300))
			c.nc.Close()
		}
		c := b.dial()
		for i := range all {
			c.send(all[i : i+1])
		}
		c.expect(0x81, "one")
	})
}

// TestFaults sends what RFC 6455 forbids and wants the right close code, the
// right reason, and no message.
func TestFaults(t *testing.T) {
	unmasked := transport.AppendFrame(nil, transport.OpText, []byte("hi"))
	tooLong := frame(0x82, nil)
	tooLong[1] = 0x80 | 127
	tooLong = append(tooLong[:2], 0, 0, 0, 0, 0, 1, 0, 1) // 65,537 bytes; the mask has not even come
	padded := append([]byte{0x81, 0x80 | 126, 0, 1}, 0, 0, 0, 0, 'x')
	tests := []struct {
		name string
		send []byte
		code uint16
		why  reason.Reason
	}{
		{"unmasked", unmasked, 1002, reason.ProtocolError},
		{"reserved bit", frame(0xC1, []byte("x")), 1002, reason.ProtocolError},
		{"reserved opcode", frame(0x83, []byte("x")), 1002, reason.ProtocolError},
		{"reserved control opcode", frame(0x8B, []byte("x")), 1002, reason.ProtocolError},
		{"fragmented ping", frame(0x09, []byte("x")), 1002, reason.ProtocolError},
		{"ping of 126 bytes", frame(0x89, bytes.Repeat([]byte("x"), 126)), 1002, reason.ProtocolError},
		{"continuation of nothing", frame(0x80, []byte("x")), 1002, reason.ProtocolError},
		{"message inside a message", append(frame(0x01, []byte("x")), text("y")...), 1002, reason.ProtocolError},
		{"length in a longer form", padded, 1002, reason.ProtocolError},
		{"text that is not UTF-8", text("\xff"), 1007, reason.InvalidUTF8},
		{"text with half a rune at the end", append(frame(0x01, []byte("a")), frame(0x80, []byte("\xc3"))...), 1007, reason.InvalidUTF8},
		{"above the limit", tooLong, 1009, reason.TooBig},
		{"fragments above the limit", append(frame(0x02, make([]byte, readLimit)), frame(0x80, []byte("x"))...), 1009, reason.TooBig},
		{"close of one byte", frame(0x88, []byte{3}), 1002, reason.ProtocolError},
		{"close with 1005", closing(1005, ""), 1002, reason.ProtocolError},
		{"close with 999", closing(999, ""), 1002, reason.ProtocolError},
		{"close with 2999", closing(2999, ""), 1002, reason.ProtocolError},
		{"close whose reason is not UTF-8", closing(1000, "\xff"), 1007, reason.InvalidUTF8},
	}
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		b.prepare = func(r *recorder) {
			r.onMsg = func(_ transport.Opcode, p []byte) { t.Errorf("a message came through: %q", p) }
		}
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := b.dial()
				c.t = t
				c.send(append(test.send, text("after")...))
				c.expectClose(test.code)
				c.nc.Close()
				b.t = t
				b.closedWith(i, test.why)
			})
		}
	})
}

// TestCloseHandshake is the client's close: its code comes back, then the end.
func TestCloseHandshake(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		for i, code := range []uint16{0, 1000, 1001, 3000, 4999} {
			c := b.dial()
			if code == 0 {
				c.send(frame(0x88, nil))
			} else {
				c.send(closing(code, "bye"))
			}
			c.expectClose(code)
			c.expectEOF()
			b.closedWith(i, reason.ClientClosed)
		}
	})
}

// TestRefusedHandshakes are answered with an HTTP error and a sentence.
func TestRefusedHandshakes(t *testing.T) {
	b := start(t, transport.Options{})
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		header string
	}{
		{"POST", func(r *http.Request) { r.Method = "POST" }, 405, "Allow"},
		{"no upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426, "Upgrade"},
		{"another upgrade", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 426, "Upgrade"},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426, "Sec-Websocket-Version"},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400, ""},
		{"short key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "c2hvcnQ=") }, 400, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, _ := http.NewRequest("GET", b.http.URL, nil)
			setHandshake(r)
			test.change(r)
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
			if got := response.Header.Get("Belfry-Reason"); got != "bad_handshake" {
				t.Errorf("Belfry-Reason: %q", got)
			}
			if test.header != "" && response.Header.Get(test.header) == "" {
				t.Errorf("no %s header: %v", test.header, response.Header)
			}
		})
	}
}
