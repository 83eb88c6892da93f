package transport_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// await polls a condition until it holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A recorder is a session that keeps what it is told; it echoes messages when
// echo is set.
type recorder struct {
	conn      *transport.Conn
	echo      bool
	onMsg     func(op transport.Opcode, p []byte)
	onTimeout func()
	closed    chan reason.Reason
	timeouts  chan struct{}
	pongs     chan string
	drained   chan struct{}
}

func (r *recorder) Message(op transport.Opcode, p []byte) {
	if r.onMsg != nil {
		r.onMsg(op, p)
	}
	if r.echo {
		r.conn.Write(transport.AppendFrame(nil, op, p))
	}
}
func (r *recorder) Pong(p []byte) { r.pongs <- string(p) }
func (r *recorder) Drained()      { r.drained <- struct{}{} }
func (r *recorder) Timeout() {
	if r.onTimeout != nil {
		r.onTimeout()
	}
	r.timeouts <- struct{}{}
}
func (r *recorder) Closed(why reason.Reason) { r.closed <- why }

// A bench is a server whose sessions are recorders.
type bench struct {
	t        testing.TB
	server   *transport.Server
	http     *httptest.Server
	mu       sync.Mutex
	sessions []*recorder
	prepare  func(*recorder)
}

const readLimit = 64 << 10

func start(t testing.TB, o transport.Options) *bench {
	t.Helper()
	return startWith(t, o, (*httptest.Server).Start)
}

func startWith(t testing.TB, o transport.Options, listen func(*httptest.Server)) *bench {
	t.Helper()
	server, err := transport.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, server: server}
	b.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.Accept(w, r, "test", readLimit, func(c *transport.Conn) transport.Session {
			s := &recorder{conn: c, echo: true, closed: make(chan reason.Reason, 1), timeouts: make(chan struct{}, 8),
				pongs: make(chan string, 8), drained: make(chan struct{}, 8)}
			if b.prepare != nil {
				b.prepare(s)
			}
			b.mu.Lock()
			b.sessions = append(b.sessions, s)
			b.mu.Unlock()
			return s
		})
	}))
	config := net.ListenConfig{Control: transport.BoundUnsent}
	config.SetMultipathTCP(false)
	b.http.Listener.Close()
	if b.http.Listener, err = config.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	listen(b.http)
	t.Cleanup(func() {
		server.Close()
		b.http.Close()
	})
	return b
}

// session is the i-th connection's, once it is there.
func (b *bench) session(i int) (s *recorder) {
	b.t.Helper()
	await(b.t, "a session", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.sessions) > i {
			s = b.sessions[i]
		}
		return s != nil
	})
	return s
}

func (b *bench) closedWith(i int, want reason.Reason) {
	b.t.Helper()
	select {
	case got := <-b.session(i).closed:
		if got != want {
			b.t.Fatalf("closed with reason %s, want %s", got, want)
		}
	case <-time.After(patience):
		b.t.Fatalf("not closed, want reason %s", want)
	}
}

// A client speaks frames by hand.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func (b *bench) dial() *client { return b.dialWith(nil) }

// dialWith sends early right behind the handshake, in the same write.
func (b *bench) dialWith(early []byte) *client {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.http.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	return b.shake(nc, early)
}

// shake is dialWith over a line that there is.
func (b *bench) shake(nc net.Conn, early []byte) *client {
	b.t.Helper()
	b.t.Cleanup(func() { nc.Close() })
	c := &client{b.t, nc, bufio.NewReader(nc)}
	c.send(append([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), early...))
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("handshake: %s", response.Status)
	}
	// The example of RFC 6455, section 1.3.
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		b.t.Fatalf("Sec-WebSocket-Accept: %q", got)
	}
	return c
}

func setHandshake(r *http.Request) {
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

// refused is the answer to a handshake that is not let in.
func (b *bench) refused() (status int, why string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.http.URL, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	setHandshake(r)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Belfry-Reason")
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next frame's first byte and payload.
func (c *client) read() (first byte, payload []byte, err error) {
	c.nc.SetReadDeadline(time.Now().Add(patience))
	var head [10]byte
	if _, err = io.ReadFull(c.r, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("a frame of the server's is masked")
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(c.r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(c.r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:10])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return head[0], payload, err
}

func (c *client) expect(first byte, payload string) {
	c.t.Helper()
	gotFirst, got, err := c.read()
	if err != nil {
		c.t.Fatalf("reading a frame: %v", err)
	}
	if gotFirst != first || string(got) != payload {
		c.t.Fatalf("got frame %#x %.80q, want %#x %.80q", gotFirst, got, first, payload)
	}
}

// expectClose wants a close frame with that code, 0 for none.
func (c *client) expectClose(code uint16) {
	c.t.Helper()
	first, got, err := c.read()
	if err != nil {
		c.t.Fatalf("reading a close frame: %v", err)
	}
	gotCode := uint16(0)
	if len(got) >= 2 {
		gotCode = binary.BigEndian.Uint16(got)
	}
	if first != 0x88 || gotCode != code {
		c.t.Fatalf("got frame %#x %q, want a close frame with code %d", first, got, code)
	}
}

func (c *client) expectEOF() {
	c.t.Helper()
	if first, p, err := c.read(); err == nil {
		c.t.Fatalf("got frame %#x %q, want the end", first, p)
	}
}

// frame is a client's: masked, with a random key.
func frame(first byte, payload []byte) []byte {
	b := transport.AppendFrame(nil, transport.Opcode(first&0x0F), payload)
	b[0] = first
	b[1] |= 0x80
	head := len(b) - len(payload)
	var key [4]byte
	rand.Read(key[:])
	out := append(append(bytes.Clone(b[:head]), key[:]...), payload...)
	for i := range payload {
		out[head+4+i] ^= key[i&3]
	}
	return out
}

func text(s string) []byte { return frame(0x81, []byte(s)) }

func closing(code uint16, why string) []byte {
	return frame(0x88, append(binary.BigEndian.AppendUint16(nil, code), why...))
}

// bothWays runs a test through the event loop, where there is one, and through
// the portable path.
func bothWays(t *testing.T, f func(t *testing.T, o transport.Options)) {
	t.Run("loop", func(t *testing.T) { f(t, transport.Options{}) })
	t.Run("portable", func(t *testing.T) { f(t, transport.Options{Portable: true}) })
}
