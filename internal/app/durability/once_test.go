package durability

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
)

// One id on one subject is one publication, whichever way and however often it is
// published; another id, or the same one on another subject, is another.
func TestTheSameIDTwice(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	a, b := apptest.Start(t, external(n)), apptest.Start(t, external(n))
	one, two := apptest.Follow(t, a.Addresses().Public, "1").Started(), attach(t, b.Addresses().Public, "1")
	other := attach(t, a.Addresses().Public, "2")

	if ack := s.putAs("notification.1", "order-7", "first"); ack.Duplicate {
		t.Error("the first is no duplicate")
	}
	if ack := s.putAs("notification.1", "order-7", "again"); !ack.Duplicate {
		t.Error("the ack does not say that it is a duplicate")
	}
	receipt, err := app.Publish(context.Background(), apptest.Options(t, external(n)), n.URL(), app.Publication{Channel: "#1", Data: []byte("again, in Go"), ID: "order-7"})
	if err != nil || !receipt.Duplicate {
		t.Errorf("app.Publish returned %+v, %v", receipt, err)
	}
	run(t, "publish", "1", "again, by the command line", "--id", "order-7", "--nats", n.URL())
	run(t, "publish", "2", "to another", "--id", "order-7", "--nats", n.URL())
	at, again := byAPI(t, b, `{"user":"1","data":"again, by the API","idempotency_key":"order-7"}`), byAPI(t, a, `{"channel":"#1","data":"again","idempotency_key":"order-7"}`)
	if at != again || at.Position != receipt.Position {
		t.Errorf("it stands at %+v, %+v and %q, which is one and the same", at, again, receipt.Position)
	}

	// The other way round: the API is first.
	byAPI(t, a, `{"user":"1","data":"second","idempotency_key":"order-8"}`)
	if ack := s.putAs("notification.1", "order-8", "again, by NATS"); !ack.Duplicate {
		t.Error("NATS does not know what the API has published")
	}
	run(t, "publish", "1", "again, by the command line", "--id", "order-8", "--nats", n.URL())
	s.putAs("notification.1", "order-9", "third")

	one.Expect("first", `"second"`, "third")
	two.Expect("first", `"second"`, "third")
	other.Expect("to another")
}

// A place is what the API answers.
type place struct {
	Offset   uint64
	Epoch    string
	Position string
}

func byAPI(t *testing.T, a *app.App, body string) place {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, "http://"+a.Addresses().Internal+"/api/publish", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("publishing by the API: %v", err)
	}
	defer answer.Body.Close()
	var got struct {
		Result *place
		Error  any
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.Result == nil {
		t.Fatalf("publishing by the API: status %d, %v, %v", answer.StatusCode, got.Error, err)
	}
	return *got.Result
}
