package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// Whoever was connected finds the server again where it was, with what it had
// stored.
func TestReopen(t *testing.T) {
	b := start(t, inside(t))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, "notification.1", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{}, 1)
	b.OnReconnect(func() { back <- struct{}{} })
	url := b.server.url()
	if err := b.StoreError(); err != nil {
		t.Errorf("a store that is well: %v", err)
	}
	if err := b.HasRoom(); err != nil {
		t.Errorf("a disk that has room: %v", err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back:
	case <-ctx.Done():
		t.Fatal("the connection was not made again")
	}
	if b.server.url() != url {
		t.Errorf("the server is at %s now, it was at %s", b.server.url(), url)
	}
	ack, err := b.Publish(ctx, "notification.1", "", []byte("two"))
	if err != nil || ack.Seq != 2 {
		t.Errorf("the next publication is %+v, %v", ack, err)
	}
	if _, err := os.Stat(filepath.Join(b.o.Data, storeDir, "room")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what tried the disk is left: %v", err)
	}
}

// A server that could not be started again is tried again, and said to be no good.
func TestReopenThatFails(t *testing.T) {
	b := start(t, inside(t))
	opts, err := serverOptions(b.server.o)
	if err != nil {
		t.Fatal(err)
	}
	port := opts.Port
	if err := b.server.open(opts); !errors.Is(err, ErrMisconfigured) { // two at one address
		t.Errorf("a second server at port %d: %v", port, err)
	}
	closeServer(b.server.server())
	if err := b.StoreError(); !errors.Is(err, ErrNotStoring) {
		t.Errorf("without a server: %v", err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.StoreError(); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// Who leaves a Reopen waits neither for it nor, in Close, for the store; what is
// under way ends behind, and lets go of the directory.
func TestReopenThatIsLeft(t *testing.T) {
	b := start(t, inside(t))
	b.server.store.Lock() // as while a large store is being opened
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("told to stop")
	reopened := make(chan error, 1)
	go func() { reopened <- b.Reopen(ctx) }()
	cancel(stop)
	select {
	case err := <-reopened:
		if !errors.Is(err, stop) {
			t.Errorf("left, it says %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Reopen does not end with its context")
	}
	began := time.Now()
	if err := b.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "not closed yet") {
		t.Errorf("closed meanwhile: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	b.server.store.Unlock()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		unlock, err := lockDir(b.o.Data)
		if err == nil {
			unlock()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the directory is still locked: %v", err)
		}
	}
	if !b.Down() {
		t.Error("the server runs on")
	}
}

func TestMissing(t *testing.T) {
	b := start(t, inside(t))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	missing := func() []string {
		t.Helper()
		names, err := b.Missing(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := missing(); len(got) != 3 {
		t.Errorf("before there are any: %v", got)
	}
	if err := b.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	if got := missing(); len(got) != 1 || got[0] != "KV_BELFRY_CURSORS" {
		t.Errorf("without the bucket: %v", got)
	}
	if _, err := b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "BELFRY_CURSORS"}); err != nil {
		t.Fatal(err)
	}
	if got := missing(); len(got) != 0 {
		t.Errorf("with all: %v", got)
	}
}

// Only what NATS failed to write is a reason to start it again.
func TestFailedToWrite(t *testing.T) {
	for text, want := range map[string]bool{
		"JetStream stream '$G > BELFRY_NOTIFICATIONS' write error: no space left on device": true,
		"JetStream meta layer write error: file too large":                                  true,
		server.NewJSNotEnabledError().Error():                                               true,
		"JetStream has not established contact with a meta leader":                          false,
		"JetStream is not current with the meta leader":                                     false,
	} {
		if got := failedToWrite(server.HealthzError{Type: server.HealthzErrorJetStream, Error: text}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
