package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	if err := b.Reopen(); err != nil {
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
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := b.StoreError(); err != nil {
		t.Errorf("with one: %v", err)
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
