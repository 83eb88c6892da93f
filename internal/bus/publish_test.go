package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/config"
)

func stored(t *testing.T, b *Bus, stream string) uint64 {
	t.Helper()
	s, err := b.JetStream().Stream(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestPublish(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	first, err := b.Publish(within(t), "notification.1", "a", []byte("hello"))
	if err != nil || first != (Ack{Stream: "BELFRY_NOTIFICATIONS", Seq: 1, ID: "a"}) {
		t.Fatalf("got %+v, %v", first, err)
	}
	s, _ := b.JetStream().Stream(within(t), first.Stream)
	m, err := s.GetMsg(within(t), 1)
	if err != nil || m.Header.Get("Nats-Msg-Id") != "notification.1:a" || string(m.Data) != "hello" {
		t.Errorf("stored %+v, %v", m, err)
	}

	// The same id is the same publication, on its own subject only.
	if again, err := b.Publish(within(t), "notification.1", "a", []byte("hello")); err != nil || !again.Duplicate || again.Seq != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if other, err := b.Publish(within(t), "notification.2", "a", []byte("hello")); err != nil || other.Duplicate || other.Seq != 2 {
		t.Errorf("another subject: %+v, %v", other, err)
	}
	if channel, err := b.Publish(within(t), "channel.orders.eu", "a", nil); err != nil || channel.Stream != "BELFRY_CHANNELS" {
		t.Errorf("a channel: %+v, %v", channel, err)
	}
	one, err1 := b.Publish(within(t), "notification.1", "", nil)
	two, err2 := b.Publish(within(t), "notification.1", "", nil)
	if err := errors.Join(err1, err2); err != nil || one.ID == "" || one.ID == two.ID {
		t.Errorf("fresh ids: %+v, %+v, %v", one, two, err)
	}
}

// What is acknowledged is stored, all of it, however many publish at once. A
// core publish says nothing, stored or not.
func TestAckedPublishesAreAllStored(t *testing.T) {
	b := start(t, inside(t))
	if err := b.Conn().Publish("notification.1", []byte("no stream yet")); err != nil {
		t.Errorf("a core publish that nobody stores fails: %v", err)
	}
	ensured(t, b)
	const publishers, each = 20, 100
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for range each {
				if _, err := b.Publish(within(t), fmt.Sprint("notification.", p), "", []byte("x")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := stored(t, b, "BELFRY_NOTIFICATIONS"); n != publishers*each {
		t.Errorf("%d stored of %d acknowledged", n, publishers*each)
	}
}

// While NATS is away a publish waits and tries on; nothing is stored twice.
func TestPublishAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	s := another(t, func(o *server.Options) { o.StoreDir = dir })
	b := start(t, outside(s.ClientURL()))
	ensured(t, b)
	restart := again(t, s, dir, nil)
	eventually(t, "it is away", func() bool { return !connected(b) })

	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	ack, err := b.Publish(short, "notification.1", "", []byte("too short"))
	says(t, err, "not acknowledged", "away")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) || ack.ID == "" {
		t.Errorf("got %+v, %v", ack, err)
	}

	got := make(chan error, 1)
	go func() {
		_, err := b.Publish(within(t), "notification.1", "once", []byte("patient"))
		got <- err
	}()
	restart()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if ack, err := b.Publish(within(t), "notification.1", "once", []byte("patient")); err != nil || !ack.Duplicate {
		t.Errorf("got %+v, %v", ack, err)
	}
	if n := stored(t, b, "BELFRY_NOTIFICATIONS"); n != 1 {
		t.Errorf("%d stored: the one that was given up was sent all the same, or one twice", n)
	}
}

func TestPublishWithoutAStream(t *testing.T) {
	b := live(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := b.Publish(ctx, "notification.1", "", nil)
	says(t, err, "notification.1", "no stream", "durable: false")
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// A cluster that still has the first try under way refuses the second, for now.
func TestPublishOutlivesARefusalThatPasses(t *testing.T) {
	b := live(t)
	answers := []string{
		`{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"stream":"S","seq":0}`,
		`{"error":{"code":429,"err_code":10167,"description":"too many requests"},"stream":"S","seq":0}`,
		`{"stream":"S","seq":7,"duplicate":true}`,
	}
	ids := make(chan string, len(answers))
	if _, err := b.Conn().Subscribe("slow", func(m *nats.Msg) {
		answer := answers[len(ids)]
		ids <- m.Header.Get(nats.MsgIdHdr)
		_ = m.Respond([]byte(answer))
	}); err != nil {
		t.Fatal(err)
	}
	ack, err := b.Publish(within(t), "slow", "a", nil)
	if err != nil || ack != (Ack{Stream: "S", Seq: 7, Duplicate: true, ID: "a"}) {
		t.Errorf("got %+v, %v", ack, err)
	}
	for range len(ids) {
		if id := <-ids; id != "slow:a" {
			t.Errorf("tried with the id %s", id)
		}
	}
}

// What the server does not permit is not answered, as by one with a full disk.
func TestPublishWithoutTheRight(t *testing.T) {
	o := config.Default()
	n := guarded(t, o, "", map[string]string{"reader": `{publish: {deny: "notification.>"}}`})
	b := dialAs(t, o, n, "reader")
	ctx, cancel := shortly()
	defer cancel()
	_, err := b.Publish(ctx, "notification.1", "", nil)
	says(t, err, "lacks the right", `"notification.1"`, "--permissions")
	if !errors.Is(err, ErrMisconfigured) || strings.Contains(err.Error(), "disk") {
		t.Error(err)
	}
	other, cancel := shortly()
	defer cancel()
	if _, err := b.Publish(other, "notification.12", "", nil); err == nil || strings.Contains(err.Error(), `"notification.1"`) {
		t.Errorf("another subject: %v", err)
	}
}

// What no retry mends is said at once.
func TestPublishRefused(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	echo(t, b, "echo")
	if _, err := b.JetStream().CreateStream(within(t), jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 100}); err != nil {
		t.Fatal(err)
	}
	for subject, data := range map[string]string{
		"notification.1": strings.Repeat("x", 2<<20), // larger than NATS takes
		"small":          strings.Repeat("x", 200),   // larger than the stream takes
		"not a subject":  "x",
		"echo":           "no ack", // a service answers, not a stream
	} {
		began := time.Now()
		if _, err := b.Publish(within(t), subject, "", []byte(data)); err == nil || time.Since(began) > patience/2 {
			t.Errorf("%s: %v after %v", subject, err, time.Since(began))
		}
	}
	shut(t, b)
	if _, err := b.Publish(within(t), "notification.1", "", nil); err == nil {
		t.Error("published after Close")
	}
}
