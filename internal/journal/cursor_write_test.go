package journal

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
	"belfry/internal/config"
)

func TestCursorWritesAreCapped(t *testing.T) {
	const users = 1000
	g := cursorsOn(t, cursorBus(t))
	for i := range users {
		g.begun(fmt.Sprint(i), 1)
	}
	g.step() // the clock begins here
	g.pass(cursorEvery - time.Second)
	before := g.Stats()
	if before.Oldest != cursorEvery-time.Second || before.Dirty != users || before.Users != users {
		t.Errorf("counted %+v", before)
	}
	g.pass(time.Second)
	g.write()
	burst := g.Stats().Writes
	if burst == 0 || burst > 2*cursorRate*uint64(cursorTick)/uint64(time.Second) {
		t.Errorf("%d at once", burst)
	}
	g.pass(cursorTick)
	g.write()
	if n := g.Stats().Writes - burst; n != cursorRate*uint64(cursorTick)/uint64(time.Second) {
		t.Errorf("%d in a tick", n)
	}
	// The end of a connection does not wait in that line.
	g.mu.Lock()
	left := g.writes.lazy.items[len(g.writes.lazy.items)-1].entry
	g.mu.Unlock()
	g.open(left.key, "", true).c.Close()
	g.step()
	cursorEventually(t, "it is written", func() bool { g.step(); return g.has(left.key) != "" })

	ctx, cancel := context.WithTimeout(context.Background(), cursorPatienceInTests)
	defer cancel()
	flushed := make(chan error, 1)
	go func() { flushed <- g.Flush(ctx) }()
	cursorEventually(t, "all are flushed, without time passing", func() bool { g.step(); return len(flushed) > 0 })
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if s := g.Stats(); s.Writes != users || s.Dirty != 0 || s.Oldest != 0 {
		t.Errorf("counted %+v", s)
	}
}

func TestCursorBucket(t *testing.T) {
	o := config.Default()
	o.NATS.Listen = "127.0.0.1:0"
	o.NATS.Prefix = "acme"
	o.Data = t.TempDir()
	b := cursorBusWith(t, o)
	ctx := context.Background()
	s := newCursorStore(b, "")
	if err := s.ensure(ctx, b.JetStream(), b.Names().Notifications(), "never"); !errors.Is(err, bus.ErrMisconfigured) {
		t.Errorf("never: %v", err)
	}
	for range 2 {
		if err := s.ensure(ctx, b.JetStream(), b.Names().Notifications(), "create"); err != nil {
			t.Fatal(err)
		}
	}
	kv, err := b.JetStream().KeyValue(ctx, "acme_BELFRY_CURSORS")
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(ctx)
	if err != nil || status.TTL() != o.Stream.MaxAge || status.History() != 1 {
		t.Errorf("ttl %v, history %d, %v", status.TTL(), status.History(), err)
	}
	stream, err := b.JetStream().Stream(ctx, "KV_acme_BELFRY_CURSORS")
	if err != nil {
		t.Fatal(err)
	}
	if have := stream.CachedInfo().Config; have.MaxBytes != -1 || have.Replicas != 1 || have.Discard != jetstream.DiscardNew {
		t.Errorf("made %+v", have)
	}

	// The stream has got another age since.
	notifications, err := b.JetStream().Stream(ctx, b.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	cfg := notifications.CachedInfo().Config
	cfg.MaxAge = time.Hour
	if _, err := b.JetStream().UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.ensure(ctx, b.JetStream(), b.Names().Notifications(), "update"); err != nil {
		t.Fatal(err)
	}
	if status, err = kv.Status(ctx); err != nil || status.TTL() != time.Hour {
		t.Errorf("ttl %v, %v", status.TTL(), err)
	}

	cfg = stream.CachedInfo().Config
	cfg.AllowDirect = false
	if _, err := b.JetStream().UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.ensure(ctx, b.JetStream(), b.Names().Notifications(), "create"); !errors.Is(err, bus.ErrMisconfigured) {
		t.Errorf("no direct get: %v", err)
	}
	if err := s.ensure(ctx, b.JetStream(), b.Names().Notifications(), "update"); err != nil {
		t.Error(err)
	}
}

// The leader's word is in another form than a direct get's.
func TestCursorStoreReadsBothWays(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	g.set("42", record{"e1", 7, nil})
	for name, get := range map[string]func(string, func(storedCursor, error)){"direct": g.store.get, "leader": g.store.getFromLeader} {
		for key, found := range map[string]bool{"42": true, "43": false} {
			got := make(chan storedCursor, 1)
			get(key, func(s storedCursor, err error) {
				if err != nil {
					t.Error(err)
				}
				got <- s
			})
			if s := <-got; s.found != found || found && (s.seq != 7 || s.rev != 1 || s.epoch != "e1") {
				t.Errorf("%s, %s: %+v", name, key, s)
			}
		}
	}
	// Of several servers only the leader is asked: another one may be behind.
	var asked string
	request := g.store.request
	g.store.request = func(m *nats.Msg, within time.Duration, done func(*nats.Msg, error)) func() bool {
		asked = m.Subject
		return request(m, within, done)
	}
	g.store.replicated.Store(true)
	if a := g.open("43", "", true); a.found || asked != "$JS.API.STREAM.MSG.GET.KV_BELFRY_CURSORS" {
		t.Errorf("asked %s, got %+v", asked, a)
	}
	g.store.request = request
	revs := make(chan error, 2)
	g.store.put("42", record{"e1", 8, nil}, 0, "w", func(_ uint64, err error) { revs <- err })
	g.store.put("42", record{"e1", 8, nil}, 1, "w", func(_ uint64, err error) { revs <- err })
	if first, second := <-revs, <-revs; !errors.Is(first, errCursorConflict) || second != nil {
		t.Errorf("put: %v, %v", first, second)
	}
}
