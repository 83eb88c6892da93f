package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/bus"
	"belfry/internal/config"
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

// A connection that NATS ends for good is an end of the gateway, which whoever
// runs it starts again.
func TestAConnectionThatIsLostForGoodIsTold(t *testing.T) {
	n := apptest.StartNATS(t, true)
	a := apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	n.SetMaxPayload(1 << 10)
	answer, err := http.Post("http://"+a.Addresses().Internal+"/api/publish", "application/json",
		strings.NewReader(`{"channel":"orders","data":"`+strings.Repeat("x", 100<<10)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	select {
	case err := <-a.Err():
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it ends because of %v", err)
		}
	case <-time.After(apptest.Patience):
		t.Fatal("nobody is told")
	}
}
