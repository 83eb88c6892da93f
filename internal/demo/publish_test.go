package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"belfry/internal/bus"
	"belfry/internal/subject"

	"github.com/nats-io/nats.go/jetstream"
)

// post sends a body as the demo's own page would.
func post(b *Backend, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://127.0.0.1:6003/demo/publish", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://127.0.0.1:6003")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w
}

func receiptOf(t *testing.T, w *httptest.ResponseRecorder) Receipt {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var got Receipt
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDurableIsAppendedWithItsID(t *testing.T) {
	type call struct{ subject, id, data string }
	var got []call
	add := publisher(func(subject, id string, data []byte) (bus.Ack, error) {
		got = append(got, call{subject, id, string(data)})
		return bus.Ack{Stream: "BELFRY_NOTIFICATIONS", Seq: 12, ID: id}, nil
	})
	b := startBackend(t, dial(t, startNATS(t)), add, subject.Default("acme"))

	r := receiptOf(t, post(b, `{"user":"a@b","data":"<b>hello</b>","kind":"durable","id":"order-7"}`))
	want := call{"acme.notification.=YUBi", "order-7", `{"user_id":"a@b","data":"<b>hello</b>","id":"order-7"}`}
	if len(got) != 1 || got[0] != want {
		t.Errorf("appended %+v, want once %+v", got, want)
	}
	if want := (Receipt{Subject: "acme.notification.=YUBi", ID: "order-7", Stream: "BELFRY_NOTIFICATIONS", Seq: 12}); r != want {
		t.Errorf("receipt %+v, want %+v", r, want)
	}

	receiptOf(t, post(b, `{"user":"1","data":"hello"}`))
	receiptOf(t, post(b, `{"user":"1","data":"hello"}`))
	if len(got) != 3 || got[1].id == "" || got[1].id == got[2].id {
		t.Errorf("without an id each request should get a new one: %+v", got)
	}
}

func TestWhatHasNoStreamGoesOverCoreNATS(t *testing.T) {
	s := startNATS(t)
	b := startBackend(t, dial(t, s), nil, subject.Default(""))
	for kind, want := range map[string]string{"legacy": "notification_1", "durable": "notification.1"} {
		sub, err := b.nc.SubscribeSync(want)
		if err != nil {
			t.Fatal(err)
		}
		r := receiptOf(t, post(b, `{"user":"1","data":"hello","id":"x","kind":"`+kind+`"}`))
		if r != (Receipt{Subject: want, ID: "x"}) {
			t.Errorf("%s: receipt %+v", kind, r)
		}
		msg, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if string(msg.Data) != `{"user_id":"1","data":"hello","id":"x"}` {
			t.Errorf("%s: published %s", kind, msg.Data)
		}
	}
}

func TestOnlyTheOwnPageAndProgramsMayPublish(t *testing.T) {
	b := startBackend(t, dial(t, startNATS(t)), nil, subject.Default(""))
	set := func(kv ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(kv); i += 2 {
				r.Header.Del(kv[i])
				if kv[i+1] != "" {
					r.Header.Set(kv[i], kv[i+1])
				}
			}
		}
	}
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Host = name }
	}
	program := set("Origin", "", "Sec-Fetch-Site", "")
	for name, c := range map[string]struct {
		change []func(*http.Request)
		status int
	}{
		"the page":                   {nil, 200},
		"a program":                  {[]func(*http.Request){program}, 200},
		"localhost":                  {[]func(*http.Request){set("Origin", "http://localhost:6003"), host("localhost:6003")}, 200},
		"IPv6":                       {[]func(*http.Request){set("Origin", "http://[::1]:6003"), host("[::1]:6003")}, 200},
		"port 80":                    {[]func(*http.Request){program, host("[::1]")}, 200},
		"another site":               {[]func(*http.Request){set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")}, 403},
		"another port":               {[]func(*http.Request){set("Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080")}, 403},
		"a site, an old browser":     {[]func(*http.Request){set("Sec-Fetch-Site", "", "Origin", "https://evil.example")}, 403},
		"a sandboxed frame":          {[]func(*http.Request){set("Sec-Fetch-Site", "cross-site", "Origin", "null")}, 403},
		"a rebound name":             {[]func(*http.Request){set("Origin", "http://evil.example:6003"), host("evil.example:6003")}, 403},
		"a form that says text":      {[]func(*http.Request){set("Content-Type", "text/plain")}, 415},
		"a form without a type":      {[]func(*http.Request){set("Content-Type", "")}, 415},
		"GET":                        {[]func(*http.Request){func(r *http.Request) { r.Method = "GET" }}, 405},
		"a preflight from elsewhere": {[]func(*http.Request){func(r *http.Request) { r.Method = "OPTIONS" }}, 405},
	} {
		w := post(b, `{"user":"1","data":"hello","kind":"legacy"}`, c.change...)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another origin is let in", name)
		}
	}
}

func TestWhatIsNoOrder(t *testing.T) {
	add := publisher(func(string, string, []byte) (bus.Ack, error) {
		t.Error("something was published")
		return bus.Ack{}, nil
	})
	b := startBackend(t, dial(t, startNATS(t)), add, subject.Default(""))
	for body, status := range map[string]int{
		``:                                     400,
		`hello`:                                400,
		`[]`:                                   400,
		`{"user":"1"}`:                         400,
		`{"user":1,"data":"x"}`:                400,
		`{"data":"x"}`:                         400,
		`{"user":"1","data":"x","kind":"x"}`:   400,
		`{"user":"1","data":"x","id":"a b"}`:   400,
		`{"user":"1","data":"x","subject":""}`: 400,
		`{"user":"1","data":"x"} {}`:           400,
		`{"user":"` + strings.Repeat("u", 129) + `","data":"x"}`:       400,
		`{"user":"1","data":"` + strings.Repeat("x", maxData+1) + `"}`: 400,
		`{"user":"1","data":"` + strings.Repeat("x", maxBody) + `"}`:   413,
	} {
		w := post(b, body)
		if w.Code != status {
			t.Errorf("%.60s: status %d, want %d: %s", body, w.Code, status, w.Body)
		}
		var got struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Error == "" {
			t.Errorf("%.60s: no error text in %s", body, w.Body)
		}
	}
}

func TestNATSAwayIsAnError(t *testing.T) {
	s := startNATS(t)
	nc := dial(t, s)
	var failure error
	b := startBackend(t, nc, publisher(func(string, string, []byte) (bus.Ack, error) { return bus.Ack{}, failure }), subject.Default(""))
	for _, c := range []struct {
		err    error
		status int
	}{
		{context.DeadlineExceeded, 504},
		{fmt.Errorf("publish: %w: %w", context.DeadlineExceeded, bus.ErrUnavailable), 503},
		{&jetstream.APIError{Code: 400, Description: "maximum bytes exceeded"}, 502},
		{errors.New("secret detail"), 500},
	} {
		failure = c.err
		w := post(b, `{"user":"1","data":"hello"}`)
		if w.Code != c.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: status %d, want %d: %s", c.err, w.Code, c.status, w.Body)
		}
	}
	nc.Close()
	if w := post(b, `{"user":"1","data":"hello","kind":"legacy"}`); w.Code != 503 {
		t.Errorf("legacy with NATS away: status %d, want 503: %s", w.Code, w.Body)
	}
}
