package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// dialects are how a proxy is used: a WebSocket, and a response without an end.
var dialects = []string{"messagechannel", "eventsource"}

// fleet is two gateways on one NATS, and the backend.
type fleet struct {
	nats     *natsServer
	js       jetstream.JetStream
	gateways [2]*gateway
	configs  [2]string // their files
	env      []string

	mu     sync.Mutex        // guards the following
	remote map[string]string // by token: where the backend was told the client is
}

func startFleet(t *testing.T, env ...string) *fleet {
	t.Helper()
	f := &fleet{nats: startNATS(t, nil), remote: map[string]string{}}
	nc := f.nats.connect(t)
	var err error
	if f.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("authentication", f.authenticate); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f.env = append([]string{"BELFRY_NATS_URL=" + f.nats.url, "BELFRY_EVENTSOURCE_RETRY=200ms"}, env...)
	for i := range f.gateways {
		f.configs[i] = filepath.Join(t.TempDir(), "belfry.yaml")
		f.trust(t, i, "[]")
		f.gateways[i] = f.serve(t, i, "127.0.0.1:0")
	}
	return f
}

// serve starts one gateway, again at the address that it had.
func (f *fleet) serve(t *testing.T, i int, address string) *gateway {
	t.Helper()
	return serve(t, append([]string{"BELFRY_CONFIG=" + f.configs[i], "BELFRY_PUBLIC_LISTEN=" + address}, f.env...)...)
}

// trust writes a gateway's configuration.
func (f *fleet) trust(t *testing.T, i int, proxies string) {
	t.Helper()
	if err := os.WriteFile(f.configs[i], []byte("trusted_proxies: "+proxies+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authenticate takes every token, as that of the user of the same name.
func (f *fleet) authenticate(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remote[string(m.Data)] = m.Header.Get("Belfry-Remote-Address")
	reply, _ := json.Marshal(map[string]any{"success": true, "user_id": string(m.Data)})
	_ = m.Respond(reply)
}

func (f *fleet) remoteOf(token string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remote[token]
}

func (f *fleet) addresses() [2]string {
	return [2]string{f.gateways[0].Public, f.gateways[1].Public}
}

func (f *fleet) publish(t *testing.T, user, data string) {
	t.Helper()
	if _, err := f.js.Publish(within(t), "notification."+user, []byte(data)); err != nil {
		t.Fatalf("publishing: %v", err)
	}
}

// Both dialects get through, each publication at once, and the backend is told
// where the client is where the gateway trusts the proxy.
func TestProxyPassesBothDialects(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, k proxyKind) {
		f := startFleet(t)
		p := startProxy(t, k, f.addresses())
		for _, dialect := range dialects {
			v := view(t, p, dialect, "user-of-"+dialect)
			eventually(t, "a client of "+dialect+" is let in", func() bool { return v.connections() == 1 })
			for i := range 5 { // none is held back until there is more
				f.publish(t, v.token, fmt.Sprint(i))
				eventually(t, "a publication arrives", func() bool { return len(v.all()) == i+1 })
			}
			if n := v.connections(); n != 1 {
				t.Errorf("it took %d connections: %s", n, v.story())
			}
			if at := f.remoteOf(v.token); at != "127.0.0.1" {
				t.Errorf("without trusted_proxies the backend was told %s, want the proxy's address", at)
			}
		}
		for i, g := range f.gateways {
			f.trust(t, i, "[127.0.0.1/32]")
			if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			g.says(t, "configuration reloaded", 1)
		}
		for i := range 4 { // some on each gateway
			for _, dialect := range dialects {
				v := view(t, p, dialect, fmt.Sprint("late-", i, dialect))
				eventually(t, "a client of "+dialect+" is let in", func() bool { return v.connections() == 1 })
				if at := f.remoteOf(v.token); at != clientAddress {
					t.Errorf("with trusted_proxies the backend was told %s, want %s", at, clientAddress)
				}
			}
		}
		if logs := p.logs(t); strings.Contains(logs, "user-of-") || strings.Contains(logs, "late-") {
			t.Errorf("%s has written tokens into its logs:\n%s", k.name, logs)
		}
	})
}

// A gateway that is not ready, as one that waits for NATS, answers handshakes with
// 503: clients get to the other one. nginx and HAProxy ask it on the spot, Caddy
// as soon as it has asked for /readyz.
func TestProxyPassesWhoIsNotReady(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, k proxyKind) {
		f := startFleet(t)
		waiting := freeAddress(t)
		belfry := filepath.Join(built(t, "gateway", buildGateway), "belfry")
		start(t, nil, append([]string{
			"BELFRY_PUBLIC_LISTEN=" + waiting, "BELFRY_INTERNAL_LISTEN=127.0.0.1:0", "BELFRY_DATA=" + t.TempDir(),
			"BELFRY_NATS_URL=nats://" + freeAddress(t), "BELFRY_EVENTSOURCE_RETRY=200ms",
		}, quick...), belfry, "serve")
		eventually(t, "a gateway waits for NATS", func() bool {
			status, _ := httpGet(t, "http://"+waiting+"/readyz")
			return status == http.StatusServiceUnavailable
		})
		p := startProxy(t, k, [2]string{waiting, f.gateways[0].Public})
		var viewers []*viewer
		for i := range 8 {
			viewers = append(viewers, view(t, p, dialects[i%2], fmt.Sprint("user-", i)))
		}
		for i, v := range viewers {
			eventually(t, v.token+" is let in", func() bool { return v.connections() == 1 })
			if first := dialects[i%2] == dialects[0] && k.name != "Caddy"; first && v.failed() > 0 || v.givenUp() > 0 {
				t.Errorf("it had to try again: %s", v.story())
			}
		}
	})
}

// Two gateways are restarted, one after the other, and then both are away for a
// moment: every client comes back by itself, and nothing is lost.
func TestProxyWhileGatewaysGo(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, k proxyKind) {
		f := startFleet(t, "BELFRY_DRAIN_DELAY=1s", "BELFRY_DRAIN=500ms")
		p := startProxy(t, k, f.addresses())
		var viewers []*viewer
		for i := range 16 {
			viewers = append(viewers, view(t, p, dialects[i%2], fmt.Sprint("user-", i)))
		}
		all := func(what string, so func(v *viewer) bool) {
			t.Helper()
			eventually(t, what, func() bool { return !slices.ContainsFunc(viewers, func(v *viewer) bool { return !so(v) }) })
		}
		t.Cleanup(func() {
			for _, v := range viewers {
				if t.Failed() {
					t.Log(v.story())
				}
			}
		})
		all("all are let in", func(v *viewer) bool { return v.connections() == 1 })
		flow := f.startFlow(t, viewers)

		for i, g := range f.gateways {
			f.end(t, g, syscall.SIGTERM)
			if said := g.stderr.String(); !strings.Contains(said, "msg=drained") || strings.Contains(said, "had=0 ") {
				t.Error("the gateway had no clients when it was told to stop: the test shows nothing")
			}
			all("all have what was published meanwhile", flow.arrived)
			f.gateways[i] = f.serve(t, i, g.Public)
		}
		for _, v := range viewers {
			if v.givenUp() > 0 {
				t.Errorf("a browser would have given up: %s", v.story())
			}
		}

		for _, g := range f.gateways {
			f.end(t, g, os.Interrupt) // at once
		}
		eventually(t, k.name+" answers EventSource in the gateways' place", func() bool { return saysComeBack(t, p, true) })
		for i, g := range f.gateways {
			f.serve(t, i, g.Public)
		}
		want := flow.stop()
		all("all have all", flow.arrived)
		for i, v := range viewers {
			v.leave() // so that the gateways need not drain once more
			check(t, v, dialects[i%2], want)
		}
		if logs := p.logs(t); strings.Contains(logs, "user-") {
			t.Errorf("%s has written tokens into its logs:\n%s", k.name, logs)
		}
	})
}

// An EventSource is told to come back from the first moment on, whatever is wrong
// with the gateways: nobody listens there, or they close what they are asked.
func TestProxyAnswersInTheGatewaysPlace(t *testing.T) {
	t.Parallel()
	closing := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(closing.Close)
	eachProxy(t, func(t *testing.T, k proxyKind) {
		nobody := freeAddress(t)
		if p := startProxy(t, k, [2]string{nobody, nobody}); !saysComeBack(t, p, true) {
			t.Error("nobody listens, and a browser would give up")
		}
		// Over HTTP/2 HAProxy refuses the stream then, which a browser asks for again.
		at := closing.Listener.Addr().String()
		if p := startProxy(t, k, [2]string{at, at}); !saysComeBack(t, p, false) {
			t.Error("the gateways close what they are asked, and a browser would give up")
		}
	})
}

// end ends a gateway by a signal.
func (f *fleet) end(t *testing.T, g *gateway, by os.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(by); err != nil {
		t.Fatal(err)
	}
	if code := g.wait(t); code != 0 {
		t.Errorf("the gateway's exit code is %d", code)
	}
}

// saysComeBack is whether a browser's EventSource comes back from the answer, that
// of a page of another origin too.
func saysComeBack(t *testing.T, p *frontProxy, http2 bool) bool {
	t.Helper()
	const origin = "https://shop.example.com"
	request, err := http.NewRequestWithContext(within(t), http.MethodGet, "https://"+site+"/events?token=user-0", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", origin)
	response, err := httpClient(t, p, http2).Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	head := make([]byte, len("retry: 3000\n\n"))
	if _, err := io.ReadFull(response.Body, head); err != nil {
		return false
	}
	h := response.Header
	return response.StatusCode == http.StatusOK && string(head) == "retry: 3000\n\n" &&
		h.Get("Content-Type") == "text/event-stream" && h.Get("Access-Control-Allow-Origin") == origin &&
		h.Get("Access-Control-Allow-Credentials") == "true" // of a page that comes with a cookie
}

// flow publishes numbers to all viewers, and keeps what was acknowledged.
type flow struct {
	stop    func() []string
	arrived func(v *viewer) bool // all that was acknowledged so far
}

func (f *fleet) startFlow(t *testing.T, viewers []*viewer) flow {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var mu sync.Mutex // guards stored
	var stored []string
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			for _, v := range viewers {
				if _, err := f.js.Publish(context.Background(), "notification."+v.token, fmt.Append(nil, i)); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
			}
			mu.Lock()
			stored = append(stored, fmt.Sprint(i))
			mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	acknowledged := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(stored)
	}
	stop := sync.OnceValue(func() []string {
		cancel()
		<-done
		return acknowledged()
	})
	t.Cleanup(func() { stop() })
	return flow{stop, func(v *viewer) bool {
		want := acknowledged()
		return len(want) == 0 || slices.Contains(v.all(), want[len(want)-1])
	}}
}

// check holds what a viewer received to what its dialect promises.
func check(t *testing.T, v *viewer, dialect string, want []string) {
	t.Helper()
	got := v.all()
	if dialect == "eventsource" {
		if !slices.Equal(got, want) {
			t.Errorf("EventSource with positions: want 0 to %d, once and in order: %s", len(want)-1, v.story())
		}
		return
	}
	for _, number := range want {
		if !slices.Contains(got, number) {
			t.Errorf("%s is lost: %s", number, v.story())
		}
	}
	v.mu.Lock()
	received := slices.Clone(v.received)
	v.mu.Unlock()
	for _, one := range received {
		if !slices.IsSortedFunc(one, byNumber) {
			t.Errorf("not in order: %s", v.story())
		}
	}
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
