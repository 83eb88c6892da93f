package load_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"

	"belfry/internal/app/apptest"
	"belfry/internal/load"
	"belfry/internal/subject"
)

// A fake is a server that speaks messagechannel and does wrong what it is told.
type fake struct {
	nc  *nats.Conn
	url string
	// wrong takes a publication, by its user's index and its sequence, and sends
	// what it wants to whom it wants.
	wrong func(user, seq int, data []byte, send func(user int, data []byte))

	mu    sync.Mutex // guards the following
	conns map[string]*websocket.Conn
}

func startFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{nc: apptest.Connect(t, apptest.StartNATS(t, false).OpenURL()), conns: map[string]*websocket.Conn{}}
	web := httptest.NewServer(http.HandlerFunc(f.serve))
	f.url = "ws" + strings.TrimPrefix(web.URL, "http")
	t.Cleanup(web.Close)
	return f
}

// does says what it does wrong; from then on it takes publications.
func (f *fake) does(t *testing.T, wrong func(user, seq int, data []byte, send func(user int, data []byte))) {
	t.Helper()
	f.wrong = wrong
	if _, err := f.nc.Subscribe("notification.*", f.publication); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		_, m, err := c.Read(context.Background()) // which answers pings, and ends with the client
		if err != nil {
			return
		}
		if _, token, ok := strings.Cut(string(m), `"token":"bench:`); ok {
			user := strings.TrimSuffix(token, `"}`)
			f.mu.Lock()
			f.conns[user] = c
			f.mu.Unlock()
			_ = c.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"success":true,"user_id":%q}`, user))
		}
	}
}

func (f *fake) publication(m *nats.Msg) {
	user := 0
	_, _ = fmt.Sscanf(m.Subject, "notification.b0badcafe-%d", &user)
	send := func(user int, data []byte) {
		f.mu.Lock()
		c := f.conns[fmt.Sprintf("b0badcafe-%d", user)]
		f.mu.Unlock()
		if c != nil {
			_ = c.Write(context.Background(), websocket.MessageText, data)
		}
	}
	seq := 0
	if _, text, ok := strings.Cut(string(m.Data), `"s":"`); ok {
		_, _ = fmt.Sscanf(text, "%012d", &seq)
	}
	if seq == 0 {
		send(user, m.Data)
		return
	}
	f.wrong(user, seq, m.Data, send)
}

// run carries out unicast to four users, ten publications each.
func (f *fake) run(t *testing.T, rate float64) (*load.Result, error) {
	t.Helper()
	p := load.Defaults()
	p.Scenario, p.URLs, p.Seed, p.Connections, p.Messages, p.Rate = "unicast", []string{f.url}, "0badcafe", 4, 40, rate
	p.InFlight, p.Publish, p.Answer, p.Patience = 1, "core", false, 2*time.Second
	return load.Run(t.Context(), p, load.Env{NATS: f.nc, Names: subject.Default("")})
}

// What a server does wrong is counted exactly, each for itself.
func TestWhatGoesWrongIsCounted(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	var held []byte
	f.does(t, func(user, seq int, data []byte, send func(int, []byte)) {
		switch {
		case user == 0 && (seq == 3 || seq == 10): // lost, one of them the last
		case user == 1 && seq == 5:
			send(user, data)
			send(user, data)
		case user == 2 && seq == 7:
			held = append([]byte(nil), data...)
		case user == 2 && seq == 8:
			send(user, data)
			send(user, held)
		case user == 3 && seq == 9:
			send(user, data)
			send(0, data)
		case user == 3 && seq == 4:
			send(user, data)
			send(user, []byte(strings.Replace(string(data), "0badcafe", "ffffffff", 1)))
		default:
			send(user, data)
		}
	})
	r, err := f.run(t, 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := load.Counts{Expected: 40, Deliveries: 38, Lost: 2, Duplicated: 1, Reordered: 1, Misdelivered: 1, Latency: r.Latency}
	if r.Counts != want || r.Foreign != 1 || r.Latency.Count != 38 || !r.Wrong() {
		t.Errorf("got %+v and %d foreign, want %+v", r.Counts, r.Foreign, want)
	}
}

// Flat out, what is lost ends the publishing and does not hang it.
func TestLossEndsAClosedLoop(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	n := 0
	f.does(t, func(user, seq int, data []byte, send func(int, []byte)) {
		if n++; n != 7 {
			send(user, data)
		}
	})
	r, err := f.run(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.Published != 7 || r.Lost != 1 || r.Deliveries != 6 {
		t.Errorf("%d published, %+v", r.Published, r.Counts)
	}
}

// A connection that the server closes is counted with its reason, and what it
// has not got is lost.
func TestClosesAreCounted(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.does(t, func(user, seq int, data []byte, send func(int, []byte)) {
		if user == 1 && seq == 5 {
			f.mu.Lock()
			c := f.conns["b0badcafe-1"]
			delete(f.conns, "b0badcafe-1")
			f.mu.Unlock()
			_ = c.Close(websocket.StatusPolicyViolation, "reads too slowly")
			return
		}
		send(user, data)
	})
	r, err := f.run(t, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if r.Closed != 1 || r.CloseReasons["1008 reads too slowly"] != 1 || r.Lost != 6 || r.Deliveries != 34 {
		t.Errorf("closed %v, %+v", r.CloseReasons, r.Counts)
	}
}

// When all connections are gone it says so, with what there is, at once.
func TestTheServerGoes(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.does(t, func(user, seq int, data []byte, send func(int, []byte)) {
		send(user, data)
		if user == 0 && seq == 5 {
			f.mu.Lock()
			defer f.mu.Unlock()
			for user, c := range f.conns {
				_ = c.CloseNow()
				delete(f.conns, user)
			}
		}
	})
	r, err := f.run(t, 10)
	if err == nil || !strings.Contains(err.Error(), "all connections have ended") || r == nil || r.Closed != 4 || r.Published >= 40 {
		t.Errorf("%v, %+v", err, r)
	}
}

// An interrupted run has what was measured until then.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.does(t, func(user, seq int, data []byte, send func(int, []byte)) {
		send(user, data)
		if seq == 3 {
			cancel()
		}
	})
	p := load.Defaults()
	p.Scenario, p.URLs, p.Seed, p.Connections, p.Rate = "unicast", []string{f.url}, "0badcafe", 4, 100
	p.Publish, p.Answer = "core", false
	r, err := load.Run(ctx, p, load.Env{NATS: f.nc, Names: subject.Default("")})
	if err != nil || !r.Cut || r.Published < 9 || r.Published > 40 || r.Wrong() {
		t.Errorf("%v, %+v", err, r)
	}
	cancel()
	if _, err = load.Run(ctx, p, load.Env{NATS: f.nc, Names: subject.Default("")}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted before it began: %v", err)
	}
}

// Without a server it says so.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	p := load.Defaults()
	p.Scenario, p.URLs, p.Connections, p.Answer = "idle", []string{"ws://127.0.0.1:1/"}, 3, false
	_, err := load.Run(t.Context(), p, load.Env{})
	if err == nil || !strings.Contains(err.Error(), "3 × connect to 127.0.0.1:1: connection refused") || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
