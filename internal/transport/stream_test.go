package transport_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// TestStream: raw bytes behind an HTTP answer, and the end when they are out.
func TestStream(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		server, err := transport.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		sessions := make(chan *recorder, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			server.AcceptStream(w, r, "test", http.Header{"Content-Type": {"text/event-stream"}}, func(c *transport.Conn) transport.Session {
				s := &recorder{conn: c, closed: make(chan reason.Reason, 1)}
				sessions <- s
				return s
			})
		})
		for _, protocol := range []string{"HTTP/1.1", "TLS", "HTTP/2.0"} {
			t.Run(protocol, func(t *testing.T) {
				h := httptest.NewUnstartedServer(handler)
				h.EnableHTTP2 = protocol == "HTTP/2.0"
				if protocol == "HTTP/1.1" {
					h.Start()
				} else {
					h.StartTLS()
				}
				defer h.Close()
				response, err := h.Client().Get(h.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if got := response.Header.Get("Content-Type"); got != "text/event-stream" || protocol != "TLS" && response.Proto != protocol {
					t.Fatalf("%s, Content-Type %q", response.Proto, got)
				}
				s := <-sessions
				want := strings.Repeat("data: x\n\n", 100_000)
				for p := []byte(want); len(p) > 0; p = p[100_000:] {
					s.conn.Write(p[:100_000])
				}
				s.conn.Close(reason.Expired, transport.CloseNone, "")
				s.conn.Write([]byte("too late"))
				got, err := io.ReadAll(response.Body)
				if err != nil || string(got) != want {
					t.Fatalf("%d bytes, %v, want %d", len(got), err, len(want))
				}
				if why := <-s.closed; why != reason.Expired {
					t.Errorf("reason %s", why)
				}
			})
		}
		t.Run("client leaves", func(t *testing.T) {
			h := httptest.NewServer(handler)
			defer h.Close()
			response, err := h.Client().Get(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			s := <-sessions
			response.Body.Close()
			select {
			case why := <-s.closed:
				if why != reason.ClientGone {
					t.Errorf("reason %s", why)
				}
			case <-time.After(patience):
				t.Fatal("not noticed")
			}
		})
	})
}

// TestQuietStream: a stream over HTTP/2 may be quiet for longer than a write may
// take.
func TestQuietStream(t *testing.T) {
	const within = 200 * time.Millisecond
	transport.SetWriteTimeout(t, within)
	server, err := transport.New(transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	sessions := make(chan *recorder, 1)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.AcceptStream(w, r, "test", http.Header{}, func(c *transport.Conn) transport.Session {
			s := &recorder{conn: c, closed: make(chan reason.Reason, 1)}
			sessions <- s
			return s
		})
	}))
	h.EnableHTTP2 = true
	h.StartTLS()
	defer h.Close()
	response, err := h.Client().Get(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	s := <-sessions
	for _, want := range []string{"one", "two"} {
		s.conn.Write([]byte(want))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want || response.ProtoMajor != 2 {
			t.Fatalf("%s: got %q, %v", response.Proto, got, err)
		}
		over := time.Now().Add(3 * within / 2)
		await(t, "the time for a write to be over", func() bool { return time.Now().After(over) })
	}
	if len(s.closed) > 0 {
		t.Errorf("closed with reason %s", <-s.closed)
	}
	s.conn.Close(reason.Drain, transport.CloseNone, "") // the server waits for its streams
}
