//go:build linux && !portable

package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

const maxHead = 16 << 10

// A house has a door. Its own requests are the handshakes, and what begins with
// /own; whatever is asked, the handlers tell what they were given.
type house struct {
	t        testing.TB
	server   *transport.Server
	door     transport.Door
	address  string
	inside   atomic.Int64 // sockets that have not left
	byHTTP   atomic.Int64 // requests that the HTTP server had
	deserted atomic.Bool  // clients go while they are answered
	context  chan context.Context
	open     func(*transport.Conn) transport.Session
	ended    chan reason.Reason
}

// build opens a house. open, where it is given, makes the sessions.
func build(t testing.TB, o transport.Options, within time.Duration, open ...func(*transport.Conn) transport.Session) *house {
	t.Helper()
	server, err := transport.New(o)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, server: server, address: listener.Addr().String(), context: make(chan context.Context, 1), ended: make(chan reason.Reason, 1000)}
	h.open = func(c *transport.Conn) transport.Session { return &echoing{c, h.ended} }
	if len(open) > 0 {
		h.open = open[0]
	}
	h.door, err = server.OpenDoor(listener, transport.DoorOptions{
		Route: h.route, HeadWithin: within, MaxHead: maxHead, Left: func() { h.inside.Add(-1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			socket, err := h.door.AcceptSocket()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("accepting: %v", err)
				return
			}
			h.inside.Add(1)
			h.door.Welcome(socket)
		}
	}()
	web := httpServer(func(w http.ResponseWriter, r *http.Request) {
		h.byHTTP.Add(1)
		h.answer(w, r)
	})
	go web.Serve(h.door)
	t.Cleanup(func() {
		h.door.Deafen()
		<-accepting
		web.Close()
		if n := h.inside.Load(); n != 0 {
			t.Errorf("%d sockets have not left the door", n)
		}
		server.Close()
	})
	return h
}

func httpServer(h http.HandlerFunc) *http.Server {
	return &http.Server{Handler: h, MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(discard.Handler(), slog.LevelDebug)}
}

func (h *house) route(r *http.Request) (http.HandlerFunc, bool) {
	switch {
	case transport.IsUpgrade(r):
		return h.answer, false
	case strings.HasPrefix(r.URL.Path, "/own/wait"):
		return h.answer, true
	case strings.HasPrefix(r.URL.Path, "/own"):
		return h.answer, false
	}
	return nil, false
}

func (h *house) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case transport.IsUpgrade(r):
		h.server.Accept(w, r, "test", readLimit, func(c *transport.Conn) transport.Session { return h.open(c) })
	case r.URL.Path == "/own/wait":
		h.context <- r.Context()
		<-r.Context().Done()
		if r.URL.RawQuery != "silent" {
			io.WriteString(w, "nobody reads this")
		}
	case r.URL.Path == "/own/wait/stream":
		h.context <- r.Context()
		if why := h.server.AcceptStream(w, r, "test", http.Header{"X-Test": {"yes"}}, func(c *transport.Conn) transport.Session { return h.open(c) }); why != reason.None && !(h.deserted.Load() && why == reason.BadHandshake) {
			h.t.Errorf("a stream was refused: %v", why)
		}
	case strings.HasSuffix(r.URL.Path, "/who"):
		io.WriteString(w, r.RemoteAddr)
	case r.URL.Path == "/own/bug":
		panic("a bug")
	case r.URL.Path == "/own/large", r.URL.Path == "/own/wait/large":
		w.Write(large)
	default:
		tell(w, r)
	}
}

var large = bytes.Repeat([]byte("0123456789abcdef"), 512<<10)

// tell says what a handler was given, but for what differs between servers.
func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %q %q %s host %q close %v length %d body %q %v\n", r.Method, r.RequestURI, r.URL, r.Proto, r.Host, r.Close, r.ContentLength, body, err)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%q: %q\n", name, r.Header[name])
	}
	fmt.Fprintf(w, "%q %q", r.TransferEncoding, r.Trailer)
}

type echoing struct {
	conn  *transport.Conn
	ended chan reason.Reason
}

func (e *echoing) Message(op transport.Opcode, p []byte) {
	e.conn.Write(transport.AppendFrame(nil, op, p))
}
func (*echoing) Pong([]byte)                {}
func (*echoing) Drained()                   {}
func (*echoing) Timeout()                   {}
func (e *echoing) Closed(why reason.Reason) { e.ended <- why }

func (h *house) dial() *client {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(2 * patience))
	return &client{h.t, nc, bufio.NewReader(nc)}
}

const handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// hears reads an answer, and its body.
func (c *client) hears(status int) string {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("waiting for an answer: %v", err)
	}
	if status == http.StatusSwitchingProtocols {
		if r.StatusCode != status {
			c.t.Fatalf("handshake: %s", r.Status)
		}
		return ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status {
		c.t.Fatalf("%s %.100q, %v; want %d", r.Status, body, err, status)
	}
	return string(body)
}

// descriptors are how many the process has.
func descriptors(t testing.TB) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestDoorAnswersHandshakes(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	c := h.dial()
	frames := slices.Concat([]byte(handshake), text("one"), text("two"), text(strings.Repeat("3", 20000)), text("four"))
	c.send(frames[:len(frames)-3]) // the last frame is not whole
	c.hears(http.StatusSwitchingProtocols)
	c.expect(0x81, "one")
	c.expect(0x81, "two")
	c.expect(0x81, strings.Repeat("3", 20000))
	c.send(frames[len(frames)-3:])
	c.expect(0x81, "four")
	await(t, "the socket to leave the door", func() bool { return h.inside.Load() == 0 })
	if h.byHTTP.Load() != 0 || h.server.Open() != 1 {
		t.Errorf("%d requests by net/http, %d open", h.byHTTP.Load(), h.server.Open())
	}
	c.send(closing(1000, ""))
	c.expectClose(1000)
	c.expectEOF()
}

func TestDoorTakesAHeadInPieces(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	c := h.dial()
	for i := range len(handshake) {
		c.send([]byte(handshake[i : i+1]))
	}
	c.hears(http.StatusSwitchingProtocols)
	var all []*client
	for i := 1; i < len(handshake); i++ { // at every byte
		c := h.dial()
		c.send([]byte(handshake[:i]))
		all = append(all, c)
	}
	for i, c := range all {
		c.send([]byte(handshake[i+1:]))
		c.send(text("hello"))
	}
	for _, c := range all {
		c.hears(http.StatusSwitchingProtocols)
		c.expect(0x81, "hello")
	}
	if n := h.byHTTP.Load(); n != 0 {
		t.Errorf("net/http had %d requests", n)
	}
}

func TestDoorLeavesTheRestToHTTP(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	plain := &house{t: t, address: plainServer(t)}
	for name, input := range map[string]string{
		"a page":                   "GET /page HTTP/1.1\r\nHost: x\r\n\r\n",
		"its own":                  "GET /own?a=b HTTP/1.1\r\nHost: x:80\r\nA: 1\r\na: 2\r\n folded\r\nCookie: c=d; e=f\r\n\r\n",
		"bare newlines":            "GET /own HTTP/1.1\nHost: x\nA: b\n\n",
		"a POST":                   "POST /own HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"a body":                   "GET /own HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"a chunked body":           "GET /own HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"two lengths":              "GET /own HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
		"length and coding":        "GET /own HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0":                 "GET /own HTTP/1.0\r\n\r\n",
		"HTTP/1.2":                 "GET /own HTTP/1.2\r\nHost: x\r\n\r\n",
		"HTTP/2.0":                 "GET /own HTTP/2.0\r\nHost: x\r\n\r\n",
		"no Host":                  "GET /own HTTP/1.1\r\n\r\n",
		"two Hosts":                "GET /own HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"an empty Host":            "GET /own HTTP/1.1\r\nHost:\r\n\r\n",
		"a wrong Host":             "GET /own HTTP/1.1\r\nHost: a b\r\n\r\n",
		"a whole URL":              "GET http://y/own HTTP/1.1\r\nHost: x\r\n\r\n",
		"a space in a name":        "GET /own HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
		"a space behind a name":    "GET /own HTTP/1.1\r\nHost: x\r\nA : c\r\n\r\n",
		"a NUL":                    "GET /own HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
		"a carriage return":        "GET /own HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
		"Expect":                   "GET /own HTTP/1.1\r\nHost: x\r\nExpect: the worst\r\n\r\n",
		"an empty line first":      "\r\nGET /own HTTP/1.1\r\nHost: x\r\n\r\n",
		"a star":                   "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a head":              "GET /own HTTP/1.1\r\nHost: x\r\n",
		"garbage":                  "\x01\x02\x03\xff\r\n\r\n",
		"the preface of HTTP/2":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a ClientHello":            "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03abcdefgh",
		"a head that is too large": "GET /own HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2*maxHead) + "\r\n\r\n",
		"nearly too large":         "GET /own HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHead-100) + "\r\n\r\n",
		"nothing":                  "",
	} {
		t.Run(name, func(t *testing.T) {
			same(t, h.exchange(t, input), plain.exchange(t, input))
		})
	}
}

func plainServer(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := httpServer(tell)
	go web.Serve(listener)
	t.Cleanup(func() { web.Close() })
	return listener.Addr().String()
}

// An outcome is the first answer to some bytes; the zero value is none.
type outcome struct {
	status int
	body   string
}

func same(t *testing.T, got, want outcome) {
	t.Helper()
	if got != want {
		t.Errorf("at the door %+v, by net/http %+v", got, want)
	}
}

// exchange sends bytes and the end, and returns the first answer.
func (h *house) exchange(t *testing.T, input string) outcome {
	t.Helper()
	nc, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	go func() {
		io.WriteString(nc, input)
		nc.(*net.TCPConn).CloseWrite()
	}()
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("no answer to %q", input)
		}
		return outcome{}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("reading the answer to %q: %v", input, err)
	}
	return outcome{r.StatusCode, string(body)}
}

// FuzzDoor compares what a handler is given, and what else comes of some bytes,
// with net/http.
func FuzzDoor(f *testing.F) {
	h := build(f, transport.Options{}, time.Minute)
	plain := &house{t: f, address: plainServer(f)}
	for _, seed := range []string{
		"GET /own HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n",
		"GET /own?a=%20 HTTP/1.1\nHost: [::1]:80\nContent-Length: 0\n\n",
		"GET /own HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nA : b\r\n c\r\n\r\n0\r\n\r\n",
		"GET //own/ HTTP/1.1\r\nhost: x\r\nConnection: close, keep-alive\r\nPragma: no-cache\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"POST /own HTTP/1.0\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		if strings.Contains(strings.ToLower(input), "websocket") || strings.Contains(input, "/own/") {
			return // they answer otherwise
		}
		same(t, h.exchange(t, input), plain.exchange(t, input))
	})
}
