package bus

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry/internal/config"
)

// patience is how long a test waits for what should come at once.
const patience = 15 * time.Second

// logged collects a logger's lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func logger(t *testing.T) (*slog.Logger, *logged) {
	l := &logged{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", l)
		}
	})
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})), l
}

// inside are options for an embedded server on a free port.
func inside(t *testing.T) config.Options {
	o := config.Default()
	o.NATS.Listen = "127.0.0.1:0"
	o.Data = t.TempDir()
	return o
}

// outside are options for a server elsewhere.
func outside(url string) config.Options {
	o := config.Default()
	o.NATS.URL = []string{url}
	return o
}

func start(t *testing.T, o config.Options) *Bus {
	t.Helper()
	log, _ := logger(t)
	return startWith(t, o, log)
}

func startWith(t *testing.T, o config.Options, log *slog.Logger) *Bus {
	t.Helper()
	b, err := Start(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, b) })
	return b
}

func shut(t *testing.T, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// another starts a nats-server as others run it.
func another(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 64 << 20,
	}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// again stops a server and returns a function that starts it on its old port
// and store.
func again(t *testing.T, s *server.Server, dir string, change func(*server.Options)) (restart func() *server.Server) {
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	return func() *server.Server {
		return another(t, func(o *server.Options) {
			o.Port, o.StoreDir = port, dir
			if change != nil {
				change(o)
			}
		})
	}
}

func client(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// says checks an error's words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; it should say %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q: %v", w, err)
		}
	}
}

func connected(b *Bus) bool {
	_, away := b.Away()
	return !away
}

// ensured waits for the streams, as the app does.
func ensured(t *testing.T, b *Bus) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err = b.EnsureStreams(within(t)); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// shortly is for a call that is not answered.
func shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 300*time.Millisecond)
}

func contains(l *logged, words string) bool { return strings.Contains(l.String(), words) }
