package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A tokenBackend gives out tokens that are good for a short time, each to be
// used once within it, and answers for them.
type tokenBackend struct {
	goodFor time.Duration

	mu      sync.Mutex // guards the following
	given   map[string]time.Time
	asked   int
	refused int
}

// serve answers authentication, and gives a token to whoever asks for one.
func (b *tokenBackend) serve(t *testing.T, nc *nats.Conn) http.Handler {
	t.Helper()
	b.given = map[string]time.Time{}
	if _, err := nc.Subscribe("authentication", func(m *nats.Msg) { _ = m.Respond(b.answer(string(m.Data))) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		token := fmt.Sprintf("token+%d", len(b.given)) // its + has to arrive as one
		b.given[token] = time.Now()
		fmt.Fprint(w, token)
	})
}

func (b *tokenBackend) answer(token string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	since, ok := b.given[token]
	if left := b.goodFor - time.Since(since); ok && left > 0 {
		return fmt.Appendf(nil, `{"success":true,"user_id":1,"expires_in":%.3f}`, left.Seconds())
	}
	b.refused++
	return []byte(`{"success":false}`)
}

func (b *tokenBackend) counts() (asked, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked, b.refused
}

// flaky is a proxy before a gateway. While it is down it answers 503, and what
// went through it is cut.
type flaky struct {
	proxy *httputil.ReverseProxy
	down  atomic.Bool
	cut   atomic.Pointer[chan struct{}]
	said  atomic.Int64 // how often 503
}

func newFlaky(t *testing.T, to string) (*flaky, *httptest.Server) {
	f := &flaky{proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})}
	f.proxy.FlushInterval = -1
	f.proxy.ErrorLog = log.New(io.Discard, "", 0) // it says that a stream was cut
	f.up()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.fail) // so that Close need not wait for streams
	return f, server
}

func (f *flaky) fail() { f.down.Store(true); close(*f.cut.Load()) }

func (f *flaky) up() {
	cut := make(chan struct{})
	f.cut.Store(&cut)
	f.down.Store(false)
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.down.Load() {
		f.said.Add(1)
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	cut := *f.cut.Load()
	go func() {
		select {
		case <-cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	f.proxy.ServeHTTP(w, r.WithContext(ctx))
}

// TestPageEventSource follows a page through what a browser's EventSource does
// not survive by itself: ten seconds of 503 and a token that expires, three
// times over. It must show everything, once, in order.
func TestPageEventSource(t *testing.T) {
	n := startNATS(t, nil)
	nc := n.connect(t)
	backend := &tokenBackend{goodFor: 4 * time.Second}
	tokens := backend.serve(t, nc)
	g := serve(t, "BELFRY_NATS_URL="+n.url, "BELFRY_EVENTSOURCE_RETRY=200ms", "BELFRY_CHANNELS_PUBLIC=news", "BELFRY_EVENTSOURCE_HEARTBEAT=1s")
	proxy, front := newFlaky(t, g.Public)
	site := http.NewServeMux() // of another port: the page is of another origin
	site.Handle("/", http.FileServer(http.Dir("html")))
	site.Handle("/token", tokens)
	web := httptest.NewServer(site)
	t.Cleanup(web.Close)
	settings := url.Values{"gateway": {front.URL + "/events"}, "tokens": {"/token"}, "channels": {"news"}}
	p := openPage(t, web.URL+"/eventsource.html#"+settings.Encode())
	p.eval(`document.getElementById("connect").click()`)
	p.shows(status, "connected")

	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	publish := func(subject, payload, shown string) {
		t.Helper()
		if _, err := js.Publish(within(t), subject, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		want = append(want, shown)
	}
	publish("notification.1", `{"user_id":"1","data":"<b>bold</b> & more"}`, "<b>bold</b> & more")
	publish("notification.1", "two\nlines", "two\nlines")
	publish("notification.1", "\xff\x00", "2 bytes: ff 00")
	publish("channel.news", `{"data":1}`, `news: {"data":1}`)
	publish("channel.news", "\xfe", "news: 1 bytes: fe")
	publish("notification.2", "another user's", "")
	want = want[:len(want)-1]
	p.hasReceived(want)

	begin := time.Now()
	proxy.fail()
	for i := 0; time.Since(begin) < 10*time.Second; i++ {
		publish("notification.1", fmt.Sprintf("while it was down %d", i), fmt.Sprintf("while it was down %d", i))
		publish("channel.news", fmt.Sprint(i), fmt.Sprintf("news: %d", i))
		next := begin.Add(time.Duration(i+1) * 500 * time.Millisecond)
		eventually(t, "it is time for the next", func() bool { return time.Now().After(next) })
	}
	if proxy.said.Load() == 0 {
		t.Error("the page never met the 503")
	}
	proxy.up()
	p.hasReceived(want)

	before, _ := backend.counts()
	for i := 0; ; i++ {
		if asked, _ := backend.counts(); asked >= before+3 {
			break
		}
		publish("notification.1", fmt.Sprintf("while tokens expire %d", i), fmt.Sprintf("while tokens expire %d", i))
		p.hasReceived(want)
	}
	p.eval(`document.getElementById("disconnect").click()`)
	p.shows(status, "disconnected")
}

// The three lines of the page's comment, and of the README.
func TestThreeLines(t *testing.T) {
	n := startNATS(t, nil)
	nc := n.connect(t)
	backend := &tokenBackend{goodFor: time.Hour}
	backend.serve(t, nc)
	backend.given["token+0"] = time.Now()
	g := serve(t, "BELFRY_NATS_URL="+n.url, "BELFRY_EVENTSOURCE_RETRY=200ms")
	web := httptest.NewServer(http.FileServer(http.Dir("html")))
	t.Cleanup(web.Close)
	p := openPage(t, web.URL+"/eventsource.html")
	p.eval(fmt.Sprintf(`(() => {
		window.shown = [];
		const token = "token+0", show = (data) => shown.push(data);
		const events = window.events = new EventSource(%s + "/events?token=" + encodeURIComponent(token));
		events.onmessage = ({ data }) => show(data);
	})()`, quoted("http://"+g.Public)))
	p.shows(`String(events.readyState)`, "1")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if i == 1 { // what the browser comes back from by itself
			g.stop()
		}
		if _, err := js.Publish(within(t), "notification.1", fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			serve(t, "BELFRY_NATS_URL="+n.url, "BELFRY_PUBLIC_LISTEN="+g.Public)
		}
		p.shows(`shown.join()`, []string{"0", "0,1", "0,1,2"}[i])
	}
	if got := p.eval(`shown.join()`); got != "0,1,2" {
		t.Errorf("shown: %s", got)
	}
}

// hasReceived waits until the page shows as many, and compares them. The order
// holds within a stream: that of the personal channels, that of the others.
func (p *page) hasReceived(want []string) {
	p.t.Helper()
	const all = `JSON.stringify([...document.querySelectorAll("#received pre")].map((line) => line.textContent).reverse())`
	var got []string
	eventually(p.t, fmt.Sprintf("the page shows %d", len(want)), func() bool {
		if err := json.Unmarshal([]byte(p.eval(all)), &got); err != nil {
			p.t.Fatal(err)
		}
		return len(got) >= len(want)
	})
	news := func(s string) bool { return strings.HasPrefix(s, "news: ") }
	slices.SortStableFunc(got, func(a, b string) int { return btoi(news(a)) - btoi(news(b)) })
	want = slices.SortedStableFunc(slices.Values(want), func(a, b string) int { return btoi(news(a)) - btoi(news(b)) })
	if !slices.Equal(got, want) {
		p.t.Fatalf("the page shows\n%q, want\n%q", got, want)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
