package eventsource

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
)

func TestStream(t *testing.T) {
	g := start(t, nil)
	c := g.get("token=a+b==&channels=news", "Origin", "https://a.example")
	for key, want := range map[string]string{
		"Content-Type":                "text/event-stream; charset=utf-8",
		"Cache-Control":               "no-cache, no-transform",
		"X-Accel-Buffering":           "no",
		"Vary":                        "Origin",
		"Access-Control-Allow-Origin": "https://a.example",
	} {
		if got := c.response.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	c.wants(event{"position", "{}", "n-e-0_c-f.1-0"})
	if ms, err := strconv.Atoi(c.retry); err != nil || ms < 1000 || ms > 3000 {
		t.Errorf("retry: %q", c.retry)
	}
	g.caughtUp() // before that what is live does not wait for what is stored
	g.journal.publish("#other", "not mine")
	g.journal.publish("#plus", `{"a":1}`, "\xff")
	g.journal.publish("news", "n\nl", "\xfe")
	g.journal.live("news", "tick")
	g.journal.live("#plus", "legacy")
	g.journal.publish("elsewhere", "no")
	g.journal.publish("#plus", "last")
	c.wants(
		event{"message", `{"a":1}`, "n-e-2_c-f.1-0"},
		event{"binary", "/w==", "n-e-3_c-f.1-0"},
		event{"channel.news", "n\nl", "n-e-3_c-f.1-1"},
		event{"binary.news", "/g==", "n-e-3_c-f.1-2"},
		event{"channel.news", "tick", "n-e-3_c-f.1-2"},
		event{"message", "legacy", "n-e-3_c-f.1-2"},
		event{"message", "last", "n-e-4_c-f.1-3"},
	)
	if q := g.journal.asked(); q.User != "plus" || !q.Confirms || q.Tickets || fmt.Sprint(q.Channels) != "[#plus news]" {
		t.Errorf("asked %+v", q)
	}
	c.leave()
	g.closedFor(reason.ClientGone)
	g.empty()
}

// Who comes back gets what was missed, once, in order, and then what is live.
func TestResume(t *testing.T) {
	for _, how := range []struct{ name, query, header string }{
		{"by header", "token=42&since=n-e-0", "n-e-1"},
		{"by query", "token=42&since=n-e-1&start=all", ""},
	} {
		t.Run(how.name, func(t *testing.T) {
			g := start(t, nil)
			c := g.in("token=42")
			g.journal.publish("#42", "1")
			c.wants(event{"message", "1", "n-e-1"})
			c.leave()
			g.empty()
			g.journal.publish("#42", "2", "3")
			g.journal.publish("#7", "other")
			c = g.get(how.query, "Last-Event-ID", how.header)
			c.wants(event{"position", "{}", "n-e-1"}, event{"message", "2", "n-e-2"}, event{"message", "3", "n-e-3"})
			g.journal.publish("#42", "live")
			c.wants(event{"message", "live", "n-e-5"})
		})
	}
}

// What the query says of the start goes to the journal; else what the reply says.
func TestStart(t *testing.T) {
	g := start(t, nil)
	for query, want := range map[string]hub.Query{
		"token=42":                           {},
		"token=42&start=now&device=d":        {Start: "now", Device: "d"},
		"token=boss":                         {Start: "all"},
		"token=boss&start=cursor":            {Start: "cursor"},
		"token=42&since=what+is+this":        {Position: "what is this", HasPosition: true},
		"token=42&since=n-e-0&start=all":     {Position: "n-e-0", HasPosition: true, Start: "all"},
		"token=42&channels=%2342,news,%2342": {},
	} {
		g.in(query).leave()
		got := g.journal.asked()
		got.User, got.Channels, got.Confirms = "", nil, false
		want.From = g.hub.Marks() // nothing is published meanwhile
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s asked %+v, want %+v", query, got, want)
		}
	}
}

// A channel that may not be read is named; the rest goes on. Another user's
// personal channel comes with the authentication reply or not at all.
func TestChannels(t *testing.T) {
	g := start(t, nil)
	c := g.in("token=42&channels=secret,news,%2343")
	denied := map[event]bool{c.hears(): true, c.hears(): true}
	for _, name := range []string{"secret", "#43"} {
		if !denied[event{"denied", `{"channel":"` + name + `","reason":"channel_refused"}`, "n-e-0_c-f.1-0"}] {
			t.Errorf("no word of %s: %v", name, denied)
		}
	}
	g.journal.publish("secret", "no")
	g.journal.publish("#43", "no")
	g.journal.publish("news", "yes")
	c.wants(event{"channel.news", "yes", "n-e-1_c-f.1-2"})

	boss := g.in("token=boss&start=now&channels=news,granted")
	g.journal.publish("#43", "theirs", "\xff")
	g.journal.publish("#1", "mine", "\xff")
	g.journal.publish("granted", "g")
	boss.wants(
		event{"channel.#43", "theirs", "n-e-2_c-f.1-2"},
		event{"binary.#43", "/w==", "n-e-3_c-f.1-2"},
		event{"message", "mine", "n-e-4_c-f.1-2"},
		event{"binary", "/w==", "n-e-5_c-f.1-2"},
		event{"channel.granted", "g", "n-e-5_c-f.1-3"},
	)
	for _, channel := range g.backend.asked {
		if channel == "granted" || channel == "#42" {
			t.Errorf("%s was asked about", channel)
		}
	}
}

func TestResets(t *testing.T) {
	g := start(t, nil)
	g.journal.publish("#42", "1")
	c := g.get("token=42&since=n-old-7&channels=news")
	// The old one first: a client that breaks off here is told again.
	c.wants(event{"position", "{}", "n-old-7"}, event{"reset", `{"reason":"epoch"}`, "n-e-0_c-f.1-0"}, event{"message", "1", "n-e-1_c-f.1-0"})
	malformed := g.get("token=42&channels=news", "Last-Event-ID", "nonsense")
	malformed.wants(event{"position", "{}", "n-e-1_c-f.1-0"}, event{"reset", `{"reason":"malformed"}`, "n-e-1_c-f.1-0"})
	g.caughtUp()
	g.hub.Reset(position.Channels, position.Mark{Epoch: "f.2", Seq: 9}, hub.ResetEpoch)
	for _, each := range []*client{c, malformed} {
		each.wants(event{"reset", `{"reason":"epoch"}`, "n-e-1_c-f.2-9"})
	}
}

func TestHeartbeat(t *testing.T) {
	g := start(t, func(g *gateway) { g.options.EventSource.Heartbeat = 100 * time.Millisecond })
	c := g.get("token=42")
	c.wants(event{"position", "{}", "n-e-0"})
	begin := time.Now()
	c.wants(event{"position", "{}", "n-e-0"}, event{"position", "{}", "n-e-0"})
	if d := time.Since(begin); d < 150*time.Millisecond {
		t.Errorf("two heartbeats in %v", d)
	}
	g.journal.publish("#7", "other") // moves everybody's position on
	for c.hears() != (event{"position", "{}", "n-e-1"}) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the position does not move on")
		}
	}
}

// While the start is not settled a comment keeps the line in use, and what is
// live waits for the first block.
func TestSlowStart(t *testing.T) {
	g := start(t, func(g *gateway) {
		g.options.EventSource.Heartbeat = 50 * time.Millisecond
		g.journal.hold = make(chan struct{})
	})
	c := g.get("token=42&channels=news")
	for range 2 {
		if line, err := c.line(); err != nil || line != ":" && line != "" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	g.journal.live("news", "early")
	g.journal.publish("#42", "stored")
	close(g.journal.hold)
	c.wants(event{"position", "{}", "n-e-0_c-f.1-0"})
	got := map[string]bool{c.hears().name: true, c.hears().name: true} // in any order: what is live has none
	if !got["channel.news"] || !got["message"] {
		t.Errorf("got %v", got)
	}
}

// Too much of that, and the client comes back.
func TestTooMuchEarly(t *testing.T) {
	g := start(t, func(g *gateway) { g.journal.hold = make(chan struct{}) })
	g.get("token=42&channels=news")
	for range 2 {
		g.journal.live("news", string(make([]byte, maxEarly*3/4)))
	}
	g.closedFor(reason.Slow)
	close(g.journal.hold)
	g.empty()
}

func TestCannotStart(t *testing.T) {
	g := start(t, func(g *gateway) { g.journal.fail = errors.New("the store is away") })
	c := g.get("token=42")
	c.ends(event{"unavailable", `{"reason":"not_ready"}`, ""})
	if c.retry == "" {
		t.Error("no retry")
	}
	g.closedFor(reason.NotReady)
	g.empty()
}

func TestExpires(t *testing.T) {
	g := start(t, nil)
	g.backend.tokens["short"] = auth.Result{Identity: auth.Identity{User: "42", ExpiresAt: time.Now().Add(300 * time.Millisecond)}}
	c := g.in("token=short")
	g.journal.publish("#42", "1")
	c.ends(event{"message", "1", "n-e-1"}, event{"expired", `{"reason":"expired"}`, "n-e-1"})
	g.closedFor(reason.Expired)
	g.empty()
}

func TestDrain(t *testing.T) {
	g := start(t, nil)
	c := g.in("token=42")
	g.journal.publish("#42", "1")
	c.wants(event{"message", "1", "n-e-1"})
	g.transport.Drain(0)
	c.ends(event{"unavailable", `{"reason":"drain"}`, "n-e-1"})
	g.closedFor(reason.Drain)
	g.empty()
}

// Without a store nothing has a position.
func TestWithoutHistory(t *testing.T) {
	g := start(t, func(g *gateway) { g.hub = hub.New(1) })
	c := g.get("token=42&channels=news")
	c.wants(event{"position", "{}", ""})
	g.journal.hub = g.hub
	g.journal.live("#42", "1")
	g.journal.live("news", "2")
	c.wants(event{"message", "1", ""}, event{"channel.news", "2", ""})
}

func TestTLS(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			g := start(t, func(g *gateway) {
				g.web.TLS = &tls.Config{NextProtos: []string{proto}}
				g.web.EnableHTTP2 = proto == "h2"
				g.options.EventSource.Heartbeat = time.Second
			})
			c := g.get("token=42&channels=news", "Origin", "https://a.example")
			if got := c.response.ProtoMajor; (got == 2) != (proto == "h2") || c.response.Header.Get("Access-Control-Allow-Origin") == "" {
				t.Errorf("HTTP/%d, %v", got, c.response.Header)
			}
			c.wants(event{"position", "{}", "n-e-0_c-f.1-0"})
			g.journal.publish("#42", "1")
			c.wants(event{"message", "1", "n-e-1_c-f.1-0"})
			eventually(t, "the cursor to be confirmed", func() bool {
				_, confirmed, _ := g.journal.cursor.get()
				return confirmed == 1
			})
			c.wants(event{"position", "{}", "n-e-1_c-f.1-0"})
			c.leave()
			g.empty()
		})
	}
}

// A client that does not read is not waited for, and misses nothing: it is
// caught up with as it reads.
func TestSlowReader(t *testing.T) {
	g := start(t, func(g *gateway) { g.transport.SetLimits(0, 64<<10) })
	payload := string(make([]byte, 32<<10))
	const many = 400 // more than the system takes in
	for range many {
		g.journal.publish("#42", payload)
	}
	nc, err := net.Dial("tcp", g.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	fmt.Fprintf(nc, "GET /events?token=42&start=all HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the replay to wait for the client", func() bool { return g.hub.Stats().CatchingUp == 1 && g.transport.Stats().QueueBytes > 0 })
	c := &client{t: t, reader: *newReader(nc)}
	if _, err := http.ReadResponse(c.in, nil); err != nil {
		t.Fatal(err)
	}
	c.wants(event{"position", "{}", "n-e-0"})
	for i := range many {
		c.wants(event{"message", payload, "n-e-" + strconv.FormatInt(int64(i+1), 36)})
	}
}
