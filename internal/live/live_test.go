package live

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
	"belfry/internal/subject"
)

// recorder is a hub that remembers.
type recorder struct {
	mu      sync.Mutex
	got     []string // "channel payload"
	batches int
	hold    chan struct{} // if set, Publish waits for it
}

func (r *recorder) Publish(batch []hub.Publication) {
	if r.hold != nil {
		<-r.hold
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches++
	for _, p := range batch {
		r.got = append(r.got, fmt.Sprintf("%s %s %d", p.Channel, p.Payload, p.Class))
	}
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func natsServer(t *testing.T) (gateway, backend *nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(s.Shutdown)
	dial := func() *nats.Conn {
		// The async error handler is silent: dropped messages are what some
		// tests are about.
		nc, err := nats.Connect(s.ClientURL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	return dial(), dial()
}

// flush makes sure that the server has what both connections sent.
func flush(t *testing.T, conns ...*nats.Conn) {
	t.Helper()
	for _, nc := range conns {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func publish(t *testing.T, nc *nats.Conn, subj, data string) {
	t.Helper()
	if err := nc.Publish(subj, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func TestBothNamingsReachTheUsersChannelInOrder(t *testing.T) {
	gateway, backend := natsServer(t)
	h := &recorder{}
	f := New(gateway, subject.Default("acme"), h, quiet())
	defer f.Close()
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	f.Follow("1")
	f.Follow("a@b")
	flush(t, gateway)

	publish(t, backend, "acme.notification.1", `{"n":1}`)
	publish(t, backend, "acme.notification_1", `plain`)
	publish(t, backend, "acme.notification_=YUBi", "\xff")
	publish(t, backend, "acme.notification.=YUBi", `2`)
	publish(t, backend, "notification.1", `another prefix`)
	publish(t, backend, "acme.notification_3", `not followed`)
	publish(t, backend, "acme.notification.3", `"last"`)

	want := []string{
		fmt.Sprintf(`#1 {"n":1} %d`, hub.JSON),
		fmt.Sprintf(`#1 plain %d`, hub.Text),
		fmt.Sprintf("#a@b \xff %d", hub.Binary),
		fmt.Sprintf(`#a@b 2 %d`, hub.JSON),
		fmt.Sprintf(`#3 "last" %d`, hub.JSON),
	}
	eventually(t, "five publications", func() bool { return len(h.all()) >= len(want) })
	if got := h.all(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	s := f.Stats()
	if s.Publications[Notification] != 3 || s.Publications[Legacy] != 2 || s.Followed != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestLiveAndOtherChannels(t *testing.T) {
	for _, c := range []struct {
		stored bool // elsewhere, by a journal
		want   []string
		counts map[string]uint64
	}{
		{true, []string{"chat:7 a", "orders.a b b", "eu c", "eu i", "last x"},
			map[string]uint64{Notification: 0, Channel: 0, Live: 5, Legacy: 0}},
		{false, []string{"chat:7 a", "orders.a b b", "eu c", "eu d", "orders.eu.paris e", "#1 f", "eu i", "last x"},
			map[string]uint64{Notification: 1, Channel: 2, Live: 5, Legacy: 0}},
	} {
		gateway, backend := natsServer(t)
		names := subject.Default("acme")
		names.ChannelName = "topic"
		h := &recorder{}
		f := New(gateway, names, h, quiet())
		defer f.Close()
		start := f.Start
		if c.stored {
			start = f.StartLive
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
		flush(t, gateway)

		publish(t, backend, "acme.live.chat:7", "a")
		publish(t, backend, "acme.live.orders.=YSBi", "b")
		publish(t, backend, "acme.live.eu", "c")
		publish(t, backend, "acme.topic.eu", "d")
		publish(t, backend, "acme.topic.orders.eu.paris", "e")
		publish(t, backend, "acme.notification.1", "f")
		publish(t, backend, "acme.live.=IzQz", "would be #43, a personal channel")
		publish(t, backend, "acme.live.a@b", "misspelled")
		publish(t, backend, "live.eu", "another prefix")
		publish(t, backend, "acme.live.eu", "i")
		publish(t, backend, "acme.live.last", "x")

		eventually(t, "the last one", func() bool {
			got := h.all()
			return len(got) > 0 && strings.HasPrefix(got[len(got)-1], "last ")
		})
		got := h.all()
		for i := range got {
			got[i] = strings.TrimSuffix(got[i], fmt.Sprintf(" %d", hub.Text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("stored %v: got %q\nwant %q", c.stored, got, c.want)
		}
		if s := f.Stats(); !maps.Equal(s.Publications, c.counts) || s.Misspelled != 2 {
			t.Errorf("stored %v: stats %+v", c.stored, s)
		}
		if err := f.Start(); err != nil { // whatever came first counts
			t.Fatal(err)
		}
		if n, want := gateway.NumSubscriptions(), map[bool]int{true: 1, false: 3}[c.stored]; n != want {
			t.Errorf("stored %v: %d subscriptions, want %d", c.stored, n, want)
		}
	}
}

func TestFollowIsCounted(t *testing.T) {
	gateway, backend := natsServer(t)
	h := &recorder{}
	f := New(gateway, subject.Default(""), h, quiet())
	defer f.Close()
	f.Follow("1")
	f.Follow("1")
	f.Unfollow("1")
	flush(t, gateway)
	publish(t, backend, "notification_1", "a")
	eventually(t, "a", func() bool { return len(h.all()) == 1 })

	f.Unfollow("1")
	f.Unfollow("1") // one too many does nothing
	f.Follow("end")
	flush(t, gateway)
	publish(t, backend, "notification_1", "b")
	publish(t, backend, "notification_end", "c")
	eventually(t, "c", func() bool { return len(h.all()) == 2 })
	if got := h.all(); !strings.HasPrefix(got[1], "#end c") {
		t.Errorf("got %q", got)
	}
	if n := gateway.NumSubscriptions(); n != 1 {
		t.Errorf("%d subscriptions, want 1", n)
	}
}

func TestMisspelledSubjectIsLoggedOnceAndCounted(t *testing.T) {
	gateway, backend := natsServer(t)
	h := &recorder{}
	var logged bytes.Buffer
	f := New(gateway, subject.Default(""), h, slog.New(slog.NewTextHandler(&logged, nil)))
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	flush(t, gateway)
	for range 3 {
		publish(t, backend, "notification.a@b", "x")
	}
	publish(t, backend, "notification.1", "x")
	eventually(t, "the right one", func() bool { return len(h.all()) == 1 })
	if n := f.Stats().Misspelled; n != 3 {
		t.Errorf("misspelled %d, want 3", n)
	}
	f.Close()
	if n := strings.Count(logged.String(), "=YUBi"); n != 1 {
		t.Errorf("the right spelling is logged %d times, want once: %s", n, logged.String())
	}
}

func TestMisspelledSubjectsTakeBoundedMemory(t *testing.T) {
	var logged bytes.Buffer
	s := newSpelling(subject.Default(""), slog.New(slog.NewTextHandler(&logged, nil)))
	for i := range 3 * maxTold {
		if _, _, err := s.read(fmt.Sprintf("notification.a@%d", i)); err == nil {
			t.Fatal("it is not canonical")
		}
	}
	if len(s.told) > maxTold+1 {
		t.Errorf("%d subjects kept", len(s.told))
	}
	if n := bytes.Count(logged.Bytes(), []byte("\n")); n != maxTold+1 {
		t.Errorf("%d lines logged, want %d", n, maxTold+1)
	}
}

func TestDroppedMessagesAreCountedAndLogged(t *testing.T) {
	gateway, backend := natsServer(t)
	h := &recorder{hold: make(chan struct{})}
	var logged bytes.Buffer
	f := newFeed(gateway, subject.Default(""), h, slog.New(slog.NewTextHandler(&logged, nil)), 4)
	go f.run()
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	f.Follow("1")
	flush(t, gateway)
	const sent = 50
	for range sent {
		publish(t, backend, "notification.1", "x")
		publish(t, backend, "notification_1", "x")
	}
	flush(t, backend, gateway) // all have come to the gateway's connection
	eventually(t, "drops", func() bool { return f.Stats().Dropped > 0 })
	before := f.Stats().Dropped
	f.Unfollow("1") // its drops stay counted
	if now := f.Stats().Dropped; now < before {
		t.Errorf("dropped went from %d to %d", before, now)
	}
	close(h.hold)
	f.Close()
	s := f.Stats()
	if total := int(s.Dropped) + len(h.all()); total != 2*sent {
		t.Errorf("dropped %d and handed on %d, together want %d", s.Dropped, len(h.all()), 2*sent)
	}
	if !strings.Contains(logged.String(), "dropped_total") {
		t.Errorf("nothing logged: %s", logged.String())
	}
}

func TestCloseHandsOnWhatHasCome(t *testing.T) {
	gateway, backend := natsServer(t)
	h := &recorder{hold: make(chan struct{})}
	f := New(gateway, subject.Default(""), h, quiet())
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(); err != nil { // a second time does nothing
		t.Fatal(err)
	}
	flush(t, gateway)
	const sent = 3 * maxBatch
	for range sent {
		publish(t, backend, "notification.1", "x")
	}
	flush(t, backend, gateway)
	close(h.hold)
	f.Close()
	f.Close()
	if n := len(h.all()); n != sent {
		t.Errorf("%d handed on, want %d", n, sent)
	}
	if h.batches > sent/2 {
		t.Errorf("%d batches for %d messages: they are not batched", h.batches, sent)
	}
	f.Follow("1") // after Close: nothing, and no panic
	f.Unfollow("1")
}
