package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"belfry/internal/access"
	"belfry/internal/journal"
	"belfry/internal/position"
)

// A fake is a journal that remembers the last publication.
type fake struct {
	err error

	asked       int
	channel, id string
	data        string
	ttl         time.Duration
	deadline    time.Duration
}

func (f *fake) Publish(ctx context.Context, channel, id string, data []byte, ttl time.Duration) (journal.Receipt, error) {
	f.asked++
	f.channel, f.id, f.data, f.ttl = channel, id, string(data), ttl
	if end, ok := ctx.Deadline(); ok {
		f.deadline = time.Until(end)
	}
	if id == "" {
		id = "made"
	}
	if f.err != nil {
		return journal.Receipt{ID: id}, f.err
	}
	mark := position.Mark{Epoch: "c1x9", Seq: 43}
	return journal.Receipt{ID: id, Seq: mark.Seq, Epoch: mark.Epoch, Position: position.Position{}.With(position.Of(channel), mark)}, nil
}

const key = "0123456789abcdef"

// start serves an API of f behind a guard that asks for the key.
func start(t *testing.T, f *fake) *httptest.Server {
	t.Helper()
	var g access.Guard
	g.Set(false, key)
	return serve(t, New(&g, Backing{Publisher: func() (Publisher, error) { return f, nil }}, slog.New(slog.DiscardHandler)))
}

func serve(t *testing.T, s *Server) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	s.Mount(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// post posts with the key, and holds request and answer against the document.
func post(t *testing.T, server *httptest.Server, body string, header ...string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequest("POST", server.URL+"/api/publish", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", key)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	described(t, body, answer, data)
	return answer.StatusCode, string(data)
}

func TestPublish(t *testing.T) {
	for _, tt := range []struct {
		body string
		want fake
	}{
		{`{"channel":"orders","data":{"n": 1}}`, fake{channel: "orders", data: `{"n": 1}`}},
		{`{"channel":"#42","data":"hello"}`, fake{channel: "#42", data: `"hello"`}},
		{`{"user":"a@b","data":[1,2.50,1e-7]}`, fake{channel: "#a@b", data: `[1,2.50,1e-7]`}},
		{`{"user":42,"data":null}`, fake{channel: "#42", data: `null`}},
		{`{"user":"1","data":false}`, fake{channel: "#1", data: `false`}},
		{"{\"channel\":\"c\", \"data\":\n\t{\"ä\":\"\\u00e4\\n<&>\"} \n}", fake{channel: "c", data: `{"ä":"\u00e4\n<&>"}`}},
		{`{"channel":"c","data":1,"idempotency_key":"order-1","ttl":3600}`, fake{channel: "c", data: "1", id: "order-1", ttl: time.Hour}},
		{`{"channel":"c","data":1,"idempotency_key":"","ttl":60.0}`, fake{channel: "c", data: "1", ttl: time.Minute}},
		{`{"channel":"c","data":1,"tags":{"a":"b"},"skip_history":true,"Data":2,"b64data":"eA=="}`, fake{channel: "c", data: "1"}},
	} {
		f := &fake{}
		status, text := post(t, start(t, f), tt.body)
		tag := "c"
		if tt.want.channel[0] == '#' {
			tag = "n"
		}
		want := fmt.Sprintf(`{"result":{"offset":43,"epoch":"c1x9","position":"%s-c1x9-17"}}`, tag)
		if status != 200 || text != want {
			t.Errorf("%s: %d %s, want %s", tt.body, status, text, want)
		}
		if f.deadline <= 0 || f.deadline > publishWithin {
			t.Errorf("%s: it may take %v", tt.body, f.deadline)
		}
		tt.want.asked, tt.want.deadline = 1, f.deadline
		if *f != tt.want {
			t.Errorf("%s: published %+v, want %+v", tt.body, *f, tt.want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	f := &fake{}
	server := start(t, f)
	for body, words := range map[string]string{
		`{}`:                                     "channel is missing",
		`[]`:                                     "not a JSON object",
		`null`:                                   "not a JSON object",
		`"x"`:                                    "not a JSON object",
		`{"data":1}`:                             "channel is missing",
		`{"channel":"","data":1}`:                "channel is missing",
		`{"channel":"c"}`:                        "data is missing",
		`{"Channel":"c","data":1}`:               "channel is missing",
		`{"channel":5,"data":1}`:                 "channel is not a string",
		`{"channel":"#42","user":"42","data":1}`: "both",
		`{"user":1.5,"data":1}`:                  "not an integer",
		`{"user":9007199254741993,"data":1}`:     "2^53",
		`{"user":true,"data":1}`:                 "user is not a string",
		`{"user":"","data":1}`:                   "channel is missing",
		`{"channel":"c","data":1,"idempotency_key":1}`:              "idempotency_key is not a string",
		`{"channel":"c","data":1,"idempotency_key":"a\nb"}`:         "control characters",
		`{"channel":"c","data":1,"idempotency_key":" a"}`:           "blank",
		`{"channel":"c","data":1,"ttl":0}`:                          "whole seconds",
		`{"channel":"c","data":1,"ttl":-5}`:                         "whole seconds",
		`{"channel":"c","data":1,"ttl":1.5}`:                        "whole seconds",
		`{"channel":"c","data":1,"ttl":"60"}`:                       "whole seconds",
		`{"channel":"c","data":1,"ttl":1e300}`:                      "whole seconds",
		`{"channel":"c","b64data":"eA=="}`:                          "data is missing",
		`{"channel":"c","data":1,"idempotency_key":"` + long + `"}`: "257 bytes",
	} {
		status, text := post(t, server, body)
		if status != 200 || !strings.HasPrefix(text, `{"error":{"code":107,"message":"`) || !strings.Contains(text, words) {
			t.Errorf("%s: %d %s, want 107 with %q", body, status, text, words)
		}
	}
	if f.asked > 0 {
		t.Errorf("%d of them were published", f.asked)
	}
}

var long = strings.Repeat("a", 257)

func TestWhatIsNoRequest(t *testing.T) {
	f := &fake{}
	server := start(t, f)
	for _, tt := range []struct {
		body, words string
		status      int
	}{
		{``, "not JSON", 400},
		{`{"channel":"c","data":1`, "not JSON", 400},
		{`{"channel":"c","data":1}{}`, "not JSON", 400},
		{"{\"channel\":\"c\",\"data\":\"\xff\"}", "UTF-8", 400},
		{`channel=c&data=1`, "not JSON", 400},
		{`{"channel":"c","data":"` + strings.Repeat("x", usualPayload-headerBytes-1) + `"}`, "1047552", 413},
		{strings.Repeat(" ", usualPayload+otherBytes), "bytes", 413},
	} {
		status, text := post(t, server, tt.body)
		if status != tt.status || !strings.Contains(text, tt.words) {
			t.Errorf("%.50q: %d %s, want %d with %q", tt.body, status, text, tt.status, tt.words)
		}
	}
	for _, key := range []string{"", "wrong"} {
		if status, text := post(t, server, `{"channel":"c","data":1}`, "X-API-Key", key); status != 401 || !strings.Contains(text, "api.key") {
			t.Errorf("key %q: %d %s", key, status, text)
		}
	}
	if status, _ := post(t, server, `{"channel":"c","data":1}`, "X-API-Key", "", "Authorization", "Bearer "+key); status != 200 {
		t.Errorf("a bearer's key: %d", status)
	}
	answer, err := http.Get(server.URL + "/api/publish")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 405 || answer.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %s, Allow %q", answer.Status, answer.Header.Get("Allow"))
	}
	if f.asked != 1 {
		t.Errorf("published %d times, want once", f.asked)
	}
}

func TestTheLargestDataIsTaken(t *testing.T) {
	f := &fake{}
	data := `"` + strings.Repeat("x", usualPayload-headerBytes-2) + `"`
	if status, text := post(t, start(t, f), `{"channel":"c","data":`+data+`}`); status != 200 || f.data != data {
		t.Errorf("%d %.80s", status, text)
	}
}

func TestTheBoundIsNATSs(t *testing.T) {
	f, most := &fake{}, int64(2000)
	var g access.Guard
	g.Set(true, "")
	server := serve(t, New(&g, Backing{
		Publisher:  func() (Publisher, error) { return f, nil },
		MaxPayload: func() int64 { return most },
	}, slog.New(slog.DiscardHandler)))
	for size, want := range map[int]int{2000 - headerBytes: 200, 2000 - headerBytes + 1: 413} {
		body := `{"channel":"c","data":"` + strings.Repeat("x", size-2) + `"}`
		if status, text := post(t, server, body); status != want {
			t.Errorf("%d bytes: %d %s", size, status, text)
		}
	}
	most = 0
	if status, _ := post(t, server, `{"channel":"c","data":"`+strings.Repeat("x", 5000)+`"}`); status != 200 {
		t.Errorf("while it is not known: %d", status)
	}
}

func TestWhatTheJournalSays(t *testing.T) {
	for _, tt := range []struct {
		err   error
		body  string
		start string
		words string
	}{
		{fmt.Errorf("%w: channel %q", journal.ErrChannel, "#"), `{"channel":"#","data":1}`, `{"error":{"code":102,`, "no such channel"},
		{fmt.Errorf("%w: it is 3s", journal.ErrTTL), `{"channel":"c","data":1,"ttl":3}`, `{"error":{"code":107,`, "whole seconds"},
		{errors.New("publish: NATS is away"), `{"channel":"c","data":1,"idempotency_key":"k1"}`, `{"error":{"code":100,`, `idempotency_key \"k1\"`},
		{errors.New("publish: NATS is away"), `{"channel":"c","data":1}`, `{"error":{"code":100,`, `idempotency_key \"made\": publish: NATS is away`},
	} {
		status, text := post(t, start(t, &fake{err: tt.err}), tt.body)
		if status != 200 || !strings.HasPrefix(text, tt.start) || !strings.Contains(text, tt.words) {
			t.Errorf("%s: %d %s, want %s and %q", tt.body, status, text, tt.start, tt.words)
		}
	}
}

func TestNothingToPublishWith(t *testing.T) {
	var g access.Guard
	g.Set(true, "")
	server := serve(t, New(&g, Backing{Publisher: func() (Publisher, error) {
		return nil, errors.New("durable is false")
	}}, slog.New(slog.DiscardHandler)))
	if status, text := post(t, server, `{"channel":"c","data":1}`); status != 200 || text != `{"error":{"code":100,"message":"not stored: durable is false"}}` {
		t.Errorf("%d %s", status, text)
	}
	// The port is a loopback address, and any page can post to it.
	if status, _ := post(t, server, `{"channel":"c","data":1}`, "Origin", "https://evil.example"); status != 401 {
		t.Errorf("a page of another origin: %d", status)
	}
}
