package bus

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A stream that the server could not recover is not one that is missing: made
// anew it would take the place of what lies there, which may be put right.
func TestAStreamThatIsNotRecovered(t *testing.T) {
	o := inside(t)
	b := start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, "notification.1", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	sum := filepath.Join(o.Data, storeDir, "jetstream", "$G", "streams", "BELFRY_NOTIFICATIONS", "meta.sum")
	was, err := os.ReadFile(sum)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sum, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	b = start(t, o)
	if err := b.EnsureStreams(ctx); err == nil || !strings.Contains(err.Error(), "could not open it") {
		t.Errorf("with a stream that can't be recovered: %v", err)
	}
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sum, was, 0o600); err != nil {
		t.Fatal(err)
	}
	b = start(t, o)
	if err := b.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	ack, err := b.Publish(ctx, "notification.1", "", []byte("two"))
	if err != nil || ack.Seq != 2 {
		t.Errorf("put right, the next publication is %+v, %v", ack, err)
	}
}
