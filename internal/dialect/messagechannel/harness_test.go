package messagechannel

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/auth"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A gateway is the dialect on the real transport and the real hub, with a
// backend in memory.
type gateway struct {
	t         *testing.T
	hub       *hub.Hub
	transport *transport.Server
	auth      *auth.Authenticator
	dialect   *Dialect
	backend   *backend
	follower  *follower
	addr      string // host:port
	opened    chan<- *session
}

// start starts a gateway; change, if not nil, may change the dialect first.
func start(t *testing.T, change func(*Dialect)) *gateway {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	tr, err := transport.New(transport.Options{Tick: 10 * time.Millisecond, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{
		t:         t,
		hub:       hub.New(0),
		transport: tr,
		backend:   newBackend(),
		follower:  &follower{users: map[string]int{}},
	}
	g.auth = auth.New(g.backend, "authentication", config.Auth{Timeout: time.Minute, Concurrent: 100}, log)
	g.dialect = New(g.hub, g.auth, g.follower, log)
	if change != nil {
		change(g.dialect)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		facts := auth.Facts{Remote: netip.MustParseAddrPort(r.RemoteAddr).Addr(), Origin: r.Header.Get("Origin"), UserAgent: r.UserAgent()}
		tr.Accept(w, r, Name, ReadLimit, func(c *transport.Conn) transport.Session {
			s := g.dialect.Open(c, facts, "")
			if g.opened != nil {
				g.opened <- s.(*session)
			}
			return s
		})
	}))
	g.addr = web.Listener.Addr().String()
	t.Cleanup(func() {
		tr.Close()
		web.Close()
		g.hub.Close()
	})
	return g
}

// publish hands the hub a user's notifications.
func (g *gateway) publish(user string, payloads ...string) {
	var batch []hub.Publication
	for _, p := range payloads {
		batch = append(batch, hub.Publication{Channel: "#" + user, Payload: []byte(p), Class: hub.Classify([]byte(p))})
	}
	g.hub.Publish(batch)
}

// closedFor waits until a connection was closed for this reason.
func (g *gateway) closedFor(why reason.Reason) {
	g.t.Helper()
	eventually(g.t, "a connection closed for "+why.String(), func() bool { return g.transport.Stats().Closes[why] == 1 })
}

// subscribed waits for so many subscriptions. A pong is no sign of them: the
// goroutine that brought the backend's answer may still be at it.
func (g *gateway) subscribed(n int) {
	g.t.Helper()
	eventually(g.t, "the subscriptions", func() bool { return g.hub.Stats().Subscriptions == n })
}

// empty waits until nobody holds anything of a connection any more.
func (g *gateway) empty() {
	g.t.Helper()
	eventually(g.t, "nothing left of a connection", func() bool {
		stats := g.hub.Stats()
		return g.transport.Stats().Connections[Name] == 0 && stats.Channels == 0 && stats.Subscriptions == 0 && g.follower.count() == 0
	})
}

// eventually waits for a condition, at most 5 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5 s for %s", what)
		}
	}
}

// A backend answers authentication requests by the token, from a table, or
// leaves a request for the test to answer.
type backend struct {
	mu      sync.Mutex
	answers map[string]answer
	asked   []*nats.Msg
	held    map[string]func(answer) // requests without an answer, by token
}

type answer struct {
	data string
	err  error
}

const (
	token1 = "57uiWCKp/44wImihy0C9+g=="
	token2 = "Hm5tYwbyoSM71Ns7A43ujQ=="
)

func newBackend() *backend {
	return &backend{
		answers: map[string]answer{
			token1:    {data: `{"success":true,"user_id":1}`},
			token2:    {data: `{"success":true,"user_id":2}`},
			"no":      {data: "{\"success\": false,\n \"user_id\":null}\t"},
			"silence": {err: bus.ErrTimeout},
			"nobody":  {err: bus.ErrUnavailable},
			"babble":  {data: "<br />Warning: no database"},
		},
		held: map[string]func(answer){},
	}
}

func (b *backend) Request(msg *nats.Msg, _ time.Duration, done func(*nats.Msg, error)) func() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	token := string(msg.Data)
	b.asked = append(b.asked, msg)
	var once sync.Once
	finish := func(a answer) {
		once.Do(func() { done(&nats.Msg{Data: []byte(a.data)}, a.err) })
	}
	if a, ok := b.answers[token]; ok {
		go finish(a)
	} else {
		b.held[token] = finish
	}
	return func() (first bool) {
		once.Do(func() { first = true })
		return first
	}
}

func (b *backend) set(token string, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[token] = a
}

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

// at returns the request that came as the i-th.
func (b *backend) at(i int) *nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[i]
}

// hold waits for a request that the table has no answer to, and returns it.
func (b *backend) hold(t *testing.T, token string) (finish func(answer)) {
	t.Helper()
	eventually(t, "a request with "+token, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		finish = b.held[token]
		return finish != nil
	})
	return finish
}

// A follower counts as live does.
type follower struct {
	mu    sync.Mutex
	users map[string]int
}

func (f *follower) Follow(user string)   { f.add(user, 1) }
func (f *follower) Unfollow(user string) { f.add(user, -1) }

func (f *follower) add(user string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users[user] += n; f.users[user] == 0 {
		delete(f.users, user)
	}
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.users)
}

func (f *follower) of(user string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[user]
}
