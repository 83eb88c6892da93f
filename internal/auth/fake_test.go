package auth

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"belfry/internal/config"
)

// A logBook is a log to be read by a test.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newAuth(b Requester, concurrent int) (*Authenticator, *logBook) {
	log := &logBook{}
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
	return New(b, "authentication", config.Auth{Timeout: 4 * time.Second, Concurrent: concurrent}, slog.New(handler)), log
}

// A told collects results, and fails the test over a second call of one done.
type told struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]Result
}

func newTold(t *testing.T) *told { return &told{t: t, by: map[string]Result{}} }

func (c *told) done(name string) func(Result) {
	return func(r Result) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, twice := c.by[name]; twice {
			c.t.Errorf("done of %s was called twice", name)
		}
		c.by[name] = r
	}
}

func (c *told) get(name string) (Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.by[name]
	return r, ok
}

// want checks that done was called for name, with this outcome.
func (c *told) want(name string, o Outcome) Result {
	c.t.Helper()
	r, ok := c.get(name)
	if !ok {
		c.t.Fatalf("%s has no result, want %v", name, o)
	}
	if r.Outcome != o {
		c.t.Fatalf("%s: got %v, want %v", name, r.Outcome, o)
	}
	return r
}

func (c *told) wantNone(name string) {
	c.t.Helper()
	if r, ok := c.get(name); ok {
		c.t.Fatalf("%s has a result, %v, want none", name, r.Outcome)
	}
}
