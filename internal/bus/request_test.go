package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/config"
)

type answer struct {
	msg *nats.Msg
	err error
}

// ask is a Request that waits.
func ask(b *Bus, subject, data string, timeout time.Duration) (*nats.Msg, error) {
	got := make(chan answer, 1)
	b.Request(&nats.Msg{Subject: subject, Data: []byte(data)}, timeout, func(m *nats.Msg, err error) { got <- answer{m, err} })
	a := <-got
	return a.msg, a.err
}

// echo answers on a subject with what it was sent.
func echo(t *testing.T, b *Bus, subject string) *nats.Conn {
	t.Helper()
	nc := client(t, b.URL())
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return nc
}

// silent subscribes and never answers; it returns what it is sent.
func silent(t *testing.T, b *Bus, subject string) chan *nats.Msg {
	t.Helper()
	nc, got := client(t, b.URL()), make(chan *nats.Msg, 16384)
	if _, err := nc.ChanSubscribe(subject, got); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return got
}

func live(t *testing.T) *Bus {
	o := inside(t)
	o.Durable = false
	return start(t, o)
}

func TestRequestOutcomes(t *testing.T) {
	b := live(t)
	echo(t, b, "echo")
	silent(t, b, "silent")

	if m, err := ask(b, "echo", "hello", patience); err != nil || string(m.Data) != "hello" {
		t.Errorf("reply: %v, %v", m, err)
	}
	if _, err := ask(b, "silent", "", 50*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("silence: %v", err)
	}
	began := time.Now()
	if _, err := ask(b, "nobody", "", patience); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "nobody answers on nobody") || time.Since(began) > patience/2 {
		t.Errorf("nobody listens: %v after %v", err, time.Since(began))
	}
	_, err := ask(b, "echo", strings.Repeat("x", 2<<20), patience)
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout) {
		t.Errorf("too large: %v", err)
	}
	if _, err := ask(b, "", "", patience); err == nil {
		t.Error("no subject: no error")
	}
	if n := len(b.requests.pending); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

func TestRequestCarriesHeaders(t *testing.T) {
	b := live(t)
	got := silent(t, b, "facts")
	msg := &nats.Msg{Subject: "facts", Header: nats.Header{"Belfry-Contract": {"1"}}}
	b.Request(msg, time.Minute, func(*nats.Msg, error) {})
	m := <-got
	if m.Header.Get("Belfry-Contract") != "1" || m.Reply == "" {
		t.Errorf("got %v", m)
	}
	if msg.Reply != "" {
		t.Error("the caller's message was changed")
	}
}

// An empty reply is a reply; only NATS's own status is "nobody listens".
func TestEmptyReply(t *testing.T) {
	b := live(t)
	echo(t, b, "echo")
	if m, err := ask(b, "echo", "", patience); err != nil || len(m.Data) != 0 {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestRequestCancel(t *testing.T) {
	b := live(t)
	got := silent(t, b, "silent")
	var called atomic.Int32
	cancel := b.Request(&nats.Msg{Subject: "silent"}, 100*time.Millisecond, func(*nats.Msg, error) { called.Add(1) })
	if !cancel() {
		t.Fatal("it was too late")
	}
	if cancel() {
		t.Error("the second cancel succeeded")
	}
	// A reply after it, and the time after which it would have timed out.
	if err := (<-got).Respond([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(b, "silent", "", 300*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	if called.Load() != 0 {
		t.Error("done was called after cancel")
	}

	done := make(chan struct{})
	cancel = b.Request(&nats.Msg{Subject: "nobody"}, time.Minute, func(*nats.Msg, error) { close(done) })
	<-done
	if cancel() {
		t.Error("cancel succeeded after done")
	}
}

func TestOnlyTheFirstReplyCounts(t *testing.T) {
	b := live(t)
	got := silent(t, b, "twice")
	var calls atomic.Int32
	b.Request(&nats.Msg{Subject: "twice"}, time.Minute, func(*nats.Msg, error) { calls.Add(1) })
	m := <-got
	for range 3 {
		if err := m.Respond([]byte("again")); err != nil {
			t.Fatal(err)
		}
	}
	// A request behind them in the same subscription.
	b.Request(&nats.Msg{Subject: "twice"}, time.Minute, func(*nats.Msg, error) { calls.Add(10) })
	if err := (<-got).Respond(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are answered", func() bool { return calls.Load() >= 11 })
	if calls.Load() != 11 {
		t.Errorf("calls make %d", calls.Load())
	}
}

// Ten thousand at once, each with its own reply, and no goroutine for any.
func TestManyRequests(t *testing.T) {
	const n = 10_000
	b := live(t)
	echo(t, b, "echo")
	got := silent(t, b, "silent")

	before := runtime.NumGoroutine()
	for range n {
		b.Request(&nats.Msg{Subject: "silent"}, time.Minute, func(*nats.Msg, error) {})
	}
	eventually(t, "they are asked", func() bool { return len(got) == n })
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d goroutines for %d requests", more, n)
	}

	var wg sync.WaitGroup
	var wrong atomic.Int32
	wg.Add(n)
	for i := range n {
		text := fmt.Sprint(i)
		b.Request(&nats.Msg{Subject: "echo", Data: []byte(text)}, time.Minute, func(m *nats.Msg, err error) {
			if err != nil || string(m.Data) != text {
				wrong.Add(1)
			}
			wg.Done()
		})
	}
	wg.Wait()
	if wrong.Load() != 0 {
		t.Errorf("%d of %d wrong", wrong.Load(), n)
	}
}

func TestCloseFailsWhatIsUnderWay(t *testing.T) {
	o := inside(t)
	o.Durable = false
	b := start(t, o)
	silent(t, b, "silent")
	errs := make(chan error, 2)
	b.Request(&nats.Msg{Subject: "silent"}, time.Minute, func(_ *nats.Msg, err error) { errs <- err })
	shut(t, b)
	if err := <-errs; !errors.Is(err, ErrUnavailable) {
		t.Errorf("under way: %v", err)
	}
	if _, err := ask(b, "silent", "", time.Minute); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// A stream on the request's subject answers before the backend does: this is
// what EnsureStreams looks for.
func TestStreamThatCapturesRequests(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	add := func(config jetstream.StreamConfig) {
		t.Helper()
		if _, err := b.JetStream().CreateOrUpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
	add(jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"authentication", "orders.*"}})
	m, err := ask(b, "authentication", "token", patience)
	if err != nil || !strings.Contains(string(m.Data), `"stream":"AUDIT"`) {
		t.Fatalf("the stream's ack is no reply any more: %v, %v", m, err)
	}
	err = b.EnsureStreams(within(t))
	says(t, err, "AUDIT", `"authentication"`, "orders.*", "no_ack")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}

	add(jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"authentication"}, NoAck: true})
	if err := b.EnsureStreams(within(t)); err != nil {
		t.Errorf("no_ack does no harm: %v", err)
	}
	for _, subject := range []string{"authorization", "send", "rpc.>", "rpc.sum", "rpc.*"} {
		add(jetstream.StreamConfig{Name: "OTHER", Subjects: []string{subject}})
		says(t, b.EnsureStreams(within(t)), "OTHER")
		if err := b.JetStream().DeleteStream(within(t), "OTHER"); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	o := config.Default()
	o.NATS.Listen, o.Data, o.Durable = "127.0.0.1:0", b.TempDir(), false
	bus, err := Start(o, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close(context.Background())
	if _, err := bus.Conn().Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		b.Fatal(err)
	}
	line := make(chan struct{}, 512)
	b.ReportAllocs()
	for b.Loop() {
		line <- struct{}{}
		bus.Request(&nats.Msg{Subject: "echo", Data: []byte("token")}, time.Minute, func(*nats.Msg, error) { <-line })
	}
}
