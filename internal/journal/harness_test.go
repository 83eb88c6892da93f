package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
)

const patience = 30 * time.Second

// quick is the pace of tests.
var quick = pace{
	tail: 20 * time.Millisecond, beat: 100 * time.Millisecond, silence: 500 * time.Millisecond, api: 500 * time.Millisecond,
	check: 300 * time.Millisecond, settle: 60 * time.Millisecond, jitter: 20 * time.Millisecond,
}

// A recorder is a hub that keeps what it is given, and fails the test where that
// is not as Hub says.
type recorder struct {
	t testing.TB

	mu     sync.Mutex // guards the following
	marks  position.Position
	all    []hub.Publication // since the beginning, of all epochs
	resets []position.Mark
	calls  int
}

func (r *recorder) Publish(batch []hub.Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	for _, p := range batch {
		m := r.marks.Get(p.Stream)
		if p.Epoch != m.Epoch || p.Seq <= m.Seq {
			r.t.Errorf("%v: %s/%d came behind %v", p.Stream, p.Epoch, p.Seq, m)
		}
		r.marks = r.marks.With(p.Stream, position.Mark{Epoch: p.Epoch, Seq: p.Seq})
		r.all = append(r.all, p)
	}
}

func (r *recorder) Advance(stream position.Stream, to position.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.marks.Get(stream); m.Epoch != "" && (to.Epoch != m.Epoch || to.Seq < m.Seq) {
		r.t.Errorf("%v: advanced to %v behind %v", stream, to, m)
	}
	r.marks = r.marks.With(stream, to)
}

func (r *recorder) Reset(stream position.Stream, now position.Mark, why hub.ResetReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if why != hub.ResetEpoch {
		r.t.Errorf("reset for %q", why)
	}
	r.resets = append(r.resets, now)
	r.marks = r.marks.With(stream, now)
}

func (r *recorder) mark(s position.Stream) position.Mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks.Get(s)
}

func (r *recorder) position() position.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks
}

// got are the payloads of one epoch of a stream with their sequences.
func (r *recorder) got(s position.Stream, epoch string) (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.all {
		if p.Stream == s && p.Epoch == epoch {
			texts = append(texts, fmt.Sprintf("%d %s %s", p.Seq, p.Channel, p.Payload))
		}
	}
	return texts
}

// gotSince is got for all epochs but one.
func (r *recorder) gotSince(s position.Stream, epoch string) (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.all {
		if p.Stream == s && p.Epoch != epoch {
			texts = append(texts, fmt.Sprintf("%d %s %s", p.Seq, p.Channel, p.Payload))
		}
	}
	return texts
}

func (r *recorder) resetMarks() []position.Mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.resets)
}

// A world is a NATS that can be restarted, a gateway's journal on it, and a
// backend that publishes.
type world struct {
	t       testing.TB
	dir     string
	port    int
	server  *server.Server
	o       config.Options
	log     *slog.Logger
	backend *bus.Bus
	pub     *Publisher
	pace    pace
	fatalf  func(format string, args ...any) // t's, or that of a rapid check
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), port: server.RANDOM_PORT, pace: quick, log: quietLog(), fatalf: t.Fatalf}
	w.up()
	w.o = config.Default()
	w.o.NATS.URL = []string{w.server.ClientURL()}
	w.o.NATS.Prefix, w.o.Stream.MaxBytes = "t", 16<<20
	w.backend = w.bus()
	w.ensure()
	w.pub = NewPublisher(w.backend)
	return w
}

func quietLog() *slog.Logger {
	if os.Getenv("JOURNAL_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// recorded is a log, and what it has.
func recorded() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}), nil))
	return log, func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (w *world) up() {
	w.t.Helper()
	w.server = fetchServer(w.t, w.dir, w.port)
	w.port = w.server.Addr().(*net.TCPAddr).Port
}

func (w *world) down() {
	w.server.Shutdown()
	w.server.WaitForShutdown()
}

// copyStore copies what a NATS that is down has in a directory. It may still be
// replacing its index, which it makes anew where there is none: then once more.
func (w *world) copyStore(to, from string) {
	w.t.Helper()
	w.eventually("the store holds still", func() bool {
		err := os.RemoveAll(to)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.fatalf("copying NATS's store: %v", err)
		}
		return err == nil
	})
}

func (w *world) bus() *bus.Bus {
	w.t.Helper()
	b, err := bus.Start(w.o, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = b.Close(context.Background()) })
	w.eventually("NATS is connected", func() bool { _, away := b.Away(); return !away })
	return b
}

func (w *world) ensure() {
	w.t.Helper()
	w.eventually("there are streams", func() bool { return w.backend.EnsureStreams(w.ctx()) == nil })
}

// gateway starts a journal with a recorder.
func (w *world) gateway() (*Journal, *recorder) {
	w.t.Helper()
	h := &recorder{t: w.t}
	return w.gatewayOf(h), h
}

func (w *world) gatewayOf(h Hub) *Journal {
	w.t.Helper()
	b := w.bus()
	j, err := newJournal(b, h, w.o, w.log, w.pace, sources(b.Names()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(j.Close)
	w.eventually("the journal starts", func() bool {
		err := j.Start(w.ctx())
		if err != nil {
			w.t.Log(err)
		}
		return err == nil
	})
	return j
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) publish(channel, data string) Receipt {
	w.t.Helper()
	r, err := w.pub.Publish(w.ctx(), channel, "", []byte(data), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) publishMany(n int, name string) (last Receipt) {
	w.t.Helper()
	for i := range n {
		last = w.publish(fmt.Sprint("#", i%3), fmt.Sprintf("%s-%d", name, i))
	}
	return last
}

// publishAsync publishes n messages for users by turns, many at a time.
func (w *world) publishAsync(n, users int) {
	w.t.Helper()
	data := []byte(`{"id":12345678,"type":"message","text":"a small notification, as most are"}`)
	for i := range n {
		if _, err := w.backend.JetStream().PublishAsync(fmt.Sprint(w.o.NATS.Prefix, ".notification.", i%users), data); err != nil {
			w.t.Fatal(err)
		}
		if i%2000 != 1999 && i < n-1 {
			continue
		}
		select {
		case <-w.backend.JetStream().PublishAsyncComplete():
		case <-time.After(time.Minute):
			w.t.Fatal("not all are acknowledged")
		}
	}
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			w.fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// reaches waits until the recorder's mark is this one.
func (w *world) reaches(h *recorder, s position.Stream, m position.Mark) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%v reaches %v", s, m), func() bool { return h.mark(s) == m })
}

func expectTexts(t testing.TB, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	if len(got) > 40 || len(want) > 40 {
		t.Errorf("%s: %d of them, want %d", what, len(got), len(want))
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Errorf("from %d on got %q, want %q", i, got[min(i, len(got)):min(i+3, len(got))], want[i:min(i+3, len(want))])
				return
			}
		}
		return
	}
	t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
}
