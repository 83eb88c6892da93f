package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
	"belfry/internal/position"
)

// A reply is what the API answers.
type reply struct {
	Result struct {
		Offset          uint64
		Epoch, Position string
	}
	Error struct {
		Code    int
		Message string
	}
}

func callAPI(t *testing.T, a *app.App, body string, header ...string) (int, reply) {
	t.Helper()
	r := request(t, "http://"+a.Addresses().Internal+"/api/publish", header...)
	r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(body))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got reply
	if answer.StatusCode == 200 {
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	}
	return answer.StatusCode, got
}

func TestAPIPublishesWithItsBytes(t *testing.T) {
	a := apptest.Start(t)
	apptest.Backend(t, a.Addresses().NATS, "")
	one := apptest.Listen(t, a, "a@b")
	for i, body := range []string{`{"user":"a@b","data":{"n": 1.50}}`, `{"channel":"#a@b","data":"\u00e4"}`} {
		status, got := callAPI(t, a, body)
		p, err := position.Parse(got.Result.Position)
		mark := position.Mark{Epoch: got.Result.Epoch, Seq: got.Result.Offset}
		if status != 200 || err != nil || p.Get(position.Notifications) != mark || mark.Seq != uint64(i+1) {
			t.Errorf("%s: %d %+v %v", body, status, got, err)
		}
	}
	one.Expect(`{"n": 1.50}`, `"\u00e4"`)

	if status, got := callAPI(t, a, `{"channel":"chat:7","data":1,"ttl":1}`); status != 200 || !strings.HasPrefix(got.Result.Position, "c-") {
		t.Errorf("another channel: %d %+v", status, got)
	}
	for body, code := range map[string]int{`{"channel":"#","data":1}`: 102, `{"channel":"a..b","data":1}`: 102, `{"channel":"a"}`: 107} {
		if status, got := callAPI(t, a, body); status != 200 || got.Error.Code != code || got.Error.Message == "" {
			t.Errorf("%s: %d %+v", body, status, got)
		}
	}
	large := `{"channel":"c","data":"` + strings.Repeat("x", 1<<20-1<<10-2) + `"}`
	if status, got := callAPI(t, a, large); status != 200 || got.Result.Offset == 0 {
		t.Errorf("the largest that NATS takes: %d %+v", status, got)
	}
	if status, _ := callAPI(t, a, large[:len(large)-2]+`x"}`); status != 413 {
		t.Errorf("one byte more: %d", status)
	}
}

// One id, by two gateways' APIs and by the command line's way, is one message.
func TestOneIDIsOneMessageByAnyWay(t *testing.T) {
	n := apptest.StartNATS(t, true)
	external := func(o *config.Options) { o.NATS.URL = []string{n.URL()} }
	one, two := apptest.Start(t, external), apptest.Start(t, external)
	const body = `{"user":"1","data":"x","idempotency_key":"order-1"}`
	_, first := callAPI(t, one, body)
	_, second := callAPI(t, two, body)
	r, err := app.Publish(t.Context(), apptest.Options(t), n.URL(), app.Publication{Channel: "#1", ID: "order-1", Data: []byte("y")})
	if err != nil {
		t.Fatal(err)
	}
	if first != second || first.Result.Position != r.Position || !r.Duplicate || first.Result.Offset != 1 {
		t.Errorf("stored at %+v, %+v and %+v", first, second, r)
	}
	if _, other := callAPI(t, two, strings.Replace(body, `"1"`, `"2"`, 1)); other.Result.Offset != 2 {
		t.Errorf("the same id for another user: %+v", other)
	}
}

func TestAPINeedsTheKeyBeyondLoopback(t *testing.T) {
	app.BeyondLoopback(t)
	const key = "0123456789abcdef"
	a := apptest.Start(t, func(o *config.Options) { o.API.Key = key; o.Metrics.Open = true })
	const body = `{"user":"1","data":"x"}`
	if status, _ := callAPI(t, a, body); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	for _, header := range [][]string{{"X-API-Key", key}, {"Authorization", "Bearer " + key}} {
		if status, got := callAPI(t, a, body, header...); status != 200 || got.Result.Offset == 0 {
			t.Errorf("%q: %d %+v", header[0], status, got)
		}
	}
	if status, text := apptest.Get(t, "http://"+a.Addresses().Internal+"/api/openapi.json"); status != 200 || !strings.Contains(text, `"openapi": "3.1`) {
		t.Errorf("the document: %d", status)
	}
	if status, _ := apptest.Get(t, "http://"+a.Addresses().Public+"/api/openapi.json"); status != 404 {
		t.Errorf("it is on the public port: %d", status)
	}
}

func TestAPIWithoutStreams(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.Durable = false })
	if status, got := callAPI(t, a, `{"user":"1","data":"x"}`); status != 200 || got.Error.Code != 100 || !strings.Contains(got.Error.Message, "durable") {
		t.Errorf("%d %+v", status, got)
	}
}

func TestFollow(t *testing.T) {
	a := apptest.Start(t)
	nats, o := a.Addresses().NATS, apptest.Options(t)
	r, err := app.Publish(t.Context(), o, nats, app.Publication{Channel: "c", Data: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	follow := func(since string) (out chan string, status chan string) {
		ctx, stop := context.WithCancel(context.Background())
		out, status = make(chan string, 10), make(chan string, 10)
		done := make(chan error, 1)
		go func() {
			done <- app.Follow(ctx, o, nats, app.Following{Channel: "c", Since: since,
				Out:    func(at string, payload []byte) { out <- fmt.Sprintf("%s %s", at, payload) },
				Status: func(s string) { status <- s }})
		}()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		<-status
		return out, status
	}
	all, _ := follow("all")
	now, _ := follow("now")
	since, _ := follow(r.Position)
	if got := <-all; got != r.Position+" old" {
		t.Errorf("got %q", got)
	}
	_, got := callAPI(t, a, `{"channel":"c","data":"new"}`)
	for _, out := range []chan string{all, now, since} {
		if text := <-out; text != got.Result.Position+` "new"` {
			t.Errorf("got %q, want that of %+v", text, got)
		}
	}
	if _, err := app.RotateEpochs(t.Context(), o, nats, "channels"); err != nil {
		t.Fatal(err)
	}
	_, status := follow(r.Position)
	if text := <-status; !strings.Contains(text, "reset, reason epoch") {
		t.Errorf("told %q", text)
	}
	if _, err := app.RotateEpochs(t.Context(), o, nats, "nothing"); err == nil {
		t.Error("there is no such stream, and no error")
	}
}

func TestSubject(t *testing.T) {
	o := apptest.Options(t, func(o *config.Options) { o.NATS.Prefix, o.Subjects.Channel = "acme", "news" })
	for channel, want := range map[string]string{"#a@b": "acme.notification.=YUBi", "orders.eu": "acme.news.orders.eu"} {
		if got, err := app.Subject(o, channel); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", channel, got, err, want)
		}
	}
}
