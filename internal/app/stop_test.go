package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
)

// A NATS that does not take the delivered cursors leaves time for closing the
// store, all the same.
func TestStopClosesTheStoreThoughCursorsAreNotTaken(t *testing.T) {
	app.SetFlushWithin(t, 300*time.Millisecond)
	a, err := app.New(apptest.Options(t), apptest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	apptest.Ready(t, a)
	backend := apptest.Backend(t, a.Addresses().NATS, "")
	js, err := jetstream.New(backend)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "KV_BELFRY_CURSORS")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	c := apptest.Listen(t, a, "1")
	apptest.Publish(t, backend, "notification.1", "unconfirmed")
	c.Expect("unconfirmed")

	began := time.Now()
	err = a.Stop()
	if err == nil || !strings.Contains(err.Error(), "cursors") {
		t.Errorf("it does not say that cursors are unwritten: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "store") {
		t.Errorf("the store was not closed: %v", err)
	}
	if took := time.Since(began); took > apptest.Patience {
		t.Errorf("it took %v", took)
	}
}
