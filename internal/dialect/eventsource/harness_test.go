package eventsource

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/ask"
	"belfry/internal/auth"
	"belfry/internal/backend"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A gateway is the dialect on the real transport and the real hub, with a
// journal and a backend in memory.
type gateway struct {
	t         *testing.T
	hub       *hub.Hub
	journal   *journal
	backend   *fakeBackend
	follower  *follower
	transport *transport.Server
	dialect   *Dialect
	options   config.Options
	web       *httptest.Server

	mu      sync.Mutex // guards the following
	answers []reason.Reason
}

// start starts a gateway; change, if not nil, may change it before it serves.
func start(t *testing.T, change func(*gateway)) *gateway {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	tr, err := transport.New(transport.Options{Tick: 10 * time.Millisecond, PingInterval: time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{
		t: t, hub: hub.New(2), backend: newBackend(), follower: &follower{users: map[string]int{}},
		transport: tr, options: config.Default(),
	}
	g.journal = newJournal(g.hub)
	g.hub.SetHistory(g.journal)
	g.web = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	if change != nil {
		change(g)
	}
	g.dialect = New(g.hub, g.backend, g.backend, g.follower, log)
	if g.web.TLS == nil {
		g.web.Start()
	} else {
		g.web.StartTLS()
	}
	t.Cleanup(func() {
		g.transport.Close()
		g.web.Close()
		g.hub.Close()
	})
	return g
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	f := ask.Facts{Remote: netip.MustParseAddrPort(r.RemoteAddr).Addr(), Origin: r.Header.Get("Origin"), UserAgent: r.UserAgent()}
	why := reason.None
	defer func() { // also where it panics, as it does for one who has gone
		g.mu.Lock()
		defer g.mu.Unlock()
		g.answers = append(g.answers, why)
	}()
	why = g.dialect.Serve(g.transport, w, r, &g.options, f)
}

// answered waits until that many requests were answered, and returns why the
// last was refused.
func (g *gateway) answered(n int) (last reason.Reason) {
	g.t.Helper()
	eventually(g.t, "the request to be answered", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.answers) < n {
			return false
		}
		last = g.answers[n-1]
		return true
	})
	return last
}

// closedFor waits for a connection to end with this reason.
func (g *gateway) closedFor(why reason.Reason) {
	g.t.Helper()
	eventually(g.t, "a connection to end with "+why.String(), func() bool { return g.transport.Stats().Closes[why] > 0 })
}

// caughtUp waits until every client gets what is published at once.
func (g *gateway) caughtUp() {
	g.t.Helper()
	eventually(g.t, "the clients to be live", func() bool { return g.hub.Stats().CatchingUp == 0 })
}

// empty waits until no client has left anything behind.
func (g *gateway) empty() {
	g.t.Helper()
	eventually(g.t, "nothing to be left", func() bool {
		stats := g.hub.Stats()
		return stats.Subscriptions == 0 && stats.CatchingUp == 0 && g.follower.none() && g.transport.Stats().Connections[Name] == 0
	})
}

// A client reads one stream.
type client struct {
	reader
	t        *testing.T
	response *http.Response
	leave    func()
}

// get asks for a stream, with headers in pairs.
func (g *gateway) get(query string, headers ...string) *client {
	g.t.Helper()
	ctx, leave := context.WithTimeout(context.Background(), 20*time.Second)
	g.t.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.web.URL+Path+"?"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := g.web.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { response.Body.Close() })
	return &client{reader: reader{in: bufio.NewReader(response.Body)}, t: g.t, response: response, leave: leave}
}

// in is get for one that is let in; it has read the first block.
func (g *gateway) in(query string, headers ...string) *client {
	g.t.Helper()
	c := g.get(query, headers...)
	if c.response.StatusCode != http.StatusOK {
		g.t.Fatalf("status %s", c.response.Status)
	}
	if e := c.hears(); e.name != "position" || e.data != "{}" {
		g.t.Fatalf("the first event is %+v", e)
	}
	return c
}

// hears is the next event.
func (c *client) hears() event {
	c.t.Helper()
	e, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for an event: %v", err)
	}
	return e
}

// wants checks the next events; a position is passed over where none is wanted.
func (c *client) wants(events ...event) {
	c.t.Helper()
	for _, want := range events {
		got := c.hears()
		for got.name == "position" && want.name != "position" {
			got = c.hears()
		}
		if got != want {
			c.t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

// ends checks that the stream does, and with this.
func (c *client) ends(events ...event) {
	c.t.Helper()
	c.wants(events...)
	if e, err := c.next(); err != io.EOF {
		c.t.Fatalf("got %+v, %v, want the end", e, err)
	}
}

// A journal is a History in memory: all that was published, at once.
type journal struct {
	hub *hub.Hub

	mu      sync.Mutex // guards the following
	epochs  map[position.Stream]string
	stored  map[position.Stream][]hub.Publication
	queries []hub.Query
	fail    error
	hold    chan struct{} // not nil: Resolve waits for it
	cursor  *cursor
}

func newJournal(h *hub.Hub) *journal {
	j := &journal{hub: h, stored: map[position.Stream][]hub.Publication{}, cursor: &cursor{}}
	j.epochs = map[position.Stream]string{position.Notifications: "e", position.Channels: "f.1"}
	for _, s := range position.All() {
		h.Advance(s, position.Mark{Epoch: j.epochs[s]})
	}
	return j
}

// publish stores and delivers; it returns the stream's last place.
func (j *journal) publish(channel string, payloads ...string) {
	for _, payload := range payloads {
		s := position.Of(channel)
		j.mu.Lock()
		p := hub.Publication{Channel: channel, Payload: []byte(payload), Class: hub.Classify([]byte(payload)), Stream: s, Epoch: j.epochs[s], Seq: uint64(len(j.stored[s]) + 1)}
		j.stored[s] = append(j.stored[s], p)
		j.mu.Unlock()
		j.hub.Publish([]hub.Publication{p})
	}
}

// live delivers and does not store.
func (j *journal) live(channel, payload string) {
	j.hub.Publish([]hub.Publication{{Channel: channel, Payload: []byte(payload), Class: hub.Classify([]byte(payload))}})
}

func (j *journal) Resolve(q hub.Query, done func(hub.Start)) {
	j.mu.Lock()
	j.queries = append(j.queries, q)
	start, hold := j.resolve(q), j.hold
	j.mu.Unlock()
	if hold == nil {
		done(start)
		return
	}
	go func() {
		<-hold
		done(start)
	}()
}

func (j *journal) resolve(q hub.Query) hub.Start {
	if j.fail != nil {
		return hub.Start{Err: j.fail}
	}
	var start hub.Start
	if q.Confirms {
		start.Cursor = j.cursor
	}
	brought, err := position.Parse(q.Position)
	for _, channel := range q.Channels {
		s := position.Of(channel)
		at := position.Mark{Epoch: j.epochs[s], Seq: uint64(len(j.stored[s]))}
		switch mark := brought.Get(s); {
		case q.HasPosition && err != nil:
			start.Resets = append(start.Resets, hub.Reset{Stream: s, Why: hub.ResetMalformed})
		case mark.Epoch == at.Epoch:
			at = mark
		case mark.Epoch != "":
			start.Resets = append(start.Resets, hub.Reset{Stream: s, Why: hub.ResetEpoch})
			at.Seq = 0
		case q.Start == "all":
			at.Seq = 0
		}
		start.At = start.At.With(s, at)
	}
	return start
}

func (j *journal) Recent(s position.Stream, channels []string, after, until uint64, _ int) (batch []hub.Publication, next uint64, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.stored[s] {
		for _, channel := range channels {
			if p.Channel == channel && p.Seq > after && p.Seq <= until {
				batch = append(batch, p)
			}
		}
	}
	return batch, until, true
}

func (j *journal) First(position.Stream) (none position.Mark) { return none }

func (j *journal) Older(context.Context, position.Stream, []string, uint64, int, func([]hub.Publication, uint64, error)) {
	panic("memory has everything")
}

// asked is the last query.
func (j *journal) asked() hub.Query {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.queries[len(j.queries)-1]
}

type cursor struct {
	mu              sync.Mutex
	sent, confirmed uint64
	closed          int
}

func (c *cursor) Sent(seq uint64)     { c.set(func() { c.sent = max(c.sent, seq) }) }
func (c *cursor) Confirm(seq uint64)  { c.set(func() { c.confirmed = max(c.confirmed, seq) }) }
func (c *cursor) Reset(position.Mark) {}
func (c *cursor) Break()              { c.Close() }

func (c *cursor) Close() { c.set(func() { c.closed++ }) }

func (c *cursor) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cursor) get() (sent, confirmed uint64, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.confirmed, c.closed
}

// A fakeBackend answers by token and by channel; what it has no answer for it
// leaves waiting.
type fakeBackend struct {
	mu       sync.Mutex
	tokens   map[string]auth.Result
	channels map[string]ask.Outcome
	facts    []ask.Facts
	asked    []string
	dropped  int
}

func newBackend() *fakeBackend {
	yes := func(id auth.Identity) auth.Result {
		return auth.Result{Identity: id, Reply: []byte(`{"success":true}`)}
	}
	return &fakeBackend{
		tokens: map[string]auth.Result{
			"42":      yes(auth.Identity{User: "42"}),
			"a+b==":   yes(auth.Identity{User: "plus"}),
			"boss":    yes(auth.Identity{User: "1", Channels: []string{"#1", "#43", "granted"}, Start: "all"}),
			"no":      {Outcome: ask.Refused, Reply: []byte("{\"success\": false,\n \"user_id\":null}")},
			"slow":    {Outcome: ask.TimedOut},
			"nobody":  {Outcome: ask.Unavailable},
			"babbler": {Outcome: ask.Invalid},
		},
		channels: map[string]ask.Outcome{
			"news": ask.Accepted, "orders.eu": ask.Accepted, "secret": ask.Refused, "timeout": ask.TimedOut, "nobody": ask.Unavailable,
		},
	}
}

func (b *fakeBackend) Authenticate(token []byte, f ask.Facts, _ bool, done func(auth.Result)) func() bool {
	b.mu.Lock()
	b.facts = append(b.facts, f)
	result, ok := b.tokens[string(token)]
	b.mu.Unlock()
	if ok {
		go done(result)
	}
	return b.drop
}

func (b *fakeBackend) drop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped++
	return true
}

func (b *fakeBackend) Subscribe(user string, granted, channels []string, f ask.Facts, done func(backend.Decision)) func() bool {
	b.mu.Lock()
	b.asked = append(b.asked, channels...)
	b.facts = append(b.facts, f)
	result, ok := b.channels[channels[0]]
	if strings.HasPrefix(channels[0], "#") {
		result, ok = ask.Refused, true
	}
	b.mu.Unlock()
	if ok {
		done(backend.Decision{Outcome: result, Channel: channels[0]})
	}
	return b.drop
}

type follower struct {
	mu    sync.Mutex
	users map[string]int
}

func (f *follower) Follow(user string)   { f.add(user, 1) }
func (f *follower) Unfollow(user string) { f.add(user, -1) }

func (f *follower) add(user string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[user] += n
}

func (f *follower) none() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.users {
		if n != 0 {
			return false
		}
	}
	return true
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func newReader(r io.Reader) *reader { return &reader{in: bufio.NewReader(r)} }
