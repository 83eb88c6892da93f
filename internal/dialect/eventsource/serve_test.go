package eventsource

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"belfry/internal/auth"
	"belfry/internal/reason"
)

// Only a token that was refused, or is missing, is not a stream.
func TestRefusedToken(t *testing.T) {
	g := start(t, nil)
	for token, want := range map[string]string{
		"no": "{\"success\": false,\n \"user_id\":null}",
		"":   `{"success":false,"message":"Token is required"}`,
	} {
		c := g.get("token="+token, "Origin", "https://a.example")
		body, _ := io.ReadAll(c.response.Body)
		h := c.response.Header
		if c.response.StatusCode != http.StatusUnauthorized || string(body) != want || h.Get("Www-Authenticate") != "Bearer" ||
			h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Access-Control-Allow-Origin") != "https://a.example" {
			t.Errorf("%q: %s %q %v", token, c.response.Status, body, h)
		}
	}
	g.empty()
}

func TestTemporaryRefusals(t *testing.T) {
	g := start(t, nil)
	for i, tt := range []struct{ query, why string }{
		{"token=slow", "auth_timeout"},
		{"token=nobody", "auth_unavailable"},
		{"token=babbler", "auth_invalid"},
		{"token=42&channels=news,timeout", "auth_timeout"},
		{"token=42&channels=nobody,news", "auth_unavailable"},
	} {
		c := g.get(tt.query)
		if c.response.StatusCode != http.StatusOK || c.response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Errorf("%s: %s", tt.query, c.response.Status)
		}
		c.ends(event{"unavailable", `{"reason":"` + tt.why + `"}`, ""})
		if c.retry == "" {
			t.Errorf("%s: no retry", tt.query)
		}
		if got := g.answered(i + 1); got.String() != tt.why {
			t.Errorf("%s: returned %v", tt.query, got)
		}
	}
	g.empty()
}

func TestLimit(t *testing.T) {
	g := start(t, nil)
	g.in("token=42")
	g.answered(1) // or it may return behind the second
	g.transport.SetLimits(1, 0)
	c := g.get("token=42")
	c.ends(event{"unavailable", `{"reason":"limit"}`, ""})
	if why := g.answered(2); why != reason.Limit {
		t.Errorf("returned %v", why)
	}
}

func TestMalformedRequest(t *testing.T) {
	g := start(t, nil)
	c := g.get("token=42&start=never")
	body, _ := io.ReadAll(c.response.Body)
	if c.response.StatusCode != http.StatusBadRequest || string(body) != "start is cursor, now or all\n" {
		t.Errorf("%s %q", c.response.Status, body)
	}
}

// Who goes while the backend is asked leaves nothing behind.
func TestGoneWhileAsked(t *testing.T) {
	g := start(t, nil)
	for i, query := range []string{"token=patience", "token=42&channels=news,patience"} {
		ctx, leave := context.WithCancel(context.Background())
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, g.web.URL+Path+"?"+query, nil)
		ended := make(chan error, 1)
		go func() {
			_, err := g.web.Client().Do(r)
			ended <- err
		}()
		eventually(t, "the backend to be asked", func() bool {
			g.backend.mu.Lock()
			defer g.backend.mu.Unlock()
			return len(g.backend.facts) == 1+3*i
		})
		leave()
		if err := <-ended; err == nil {
			t.Error("it was answered")
		}
		if why := g.answered(i + 1); why != reason.None {
			t.Errorf("returned %v", why)
		}
	}
	if g.backend.drop(); g.backend.dropped != 1+2+1 {
		t.Errorf("%d questions were taken back, of 3", g.backend.dropped-1)
	}
	g.empty()
}

// Who has closed its own side only, while the backend is asked, is not answered
// with an empty 200: for an EventSource that would be the end.
func TestHalfGoneWhileAsked(t *testing.T) {
	g := start(t, nil)
	nc, err := net.Dial("tcp", g.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	fmt.Fprintf(nc, "GET /events?token=patience HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the backend to be asked", func() bool {
		g.backend.mu.Lock()
		defer g.backend.mu.Unlock()
		return len(g.backend.facts) == 1
	})
	_ = nc.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(nc); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	g.answered(1)
}

// A slow backend may take longer than the server gives an ordinary request.
func TestUnhurried(t *testing.T) {
	g := start(t, func(g *gateway) {
		g.web.Config.ReadTimeout, g.web.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	g.dialect.auth = late{g.backend}
	c := g.get("token=42")
	c.wants(event{"position", "{}", "n-e-0"})
	begin := time.Now()
	g.journal.publish("#42", "x")
	c.wants(event{"message", "x", "n-e-1"})
	eventually(t, "the server's limits to be over", func() bool { return time.Since(begin) > 150*time.Millisecond })
	g.journal.publish("#42", "y")
	c.wants(event{"message", "y", "n-e-2"})
}

// late is a backend that takes 200 ms.
type late struct{ *fakeBackend }

func (l late) Authenticate(token []byte, f auth.Facts, fresh bool, done func(auth.Result)) func() bool {
	return l.fakeBackend.Authenticate(token, f, fresh, func(r auth.Result) { time.AfterFunc(200*time.Millisecond, func() { done(r) }) })
}

func TestFacts(t *testing.T) {
	g := start(t, nil)
	g.in("token=a%2Bb==&channels=news", "Origin", "https://a.example", "User-Agent", "test")
	g.backend.mu.Lock()
	defer g.backend.mu.Unlock()
	for i, f := range g.backend.facts {
		if f.Dialect != Name || f.Origin != "https://a.example" || f.UserAgent != "test" || !f.Remote.IsLoopback() || len(f.Connection) != 16 {
			t.Errorf("question %d has %+v", i, f)
		}
		if want := []string{"", "plus"}[i]; f.User != want {
			t.Errorf("question %d is of user %q, want %q", i, f.User, want)
		}
	}
}
