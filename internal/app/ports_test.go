package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

func TestAddresses(t *testing.T) {
	a := apptest.Start(t)
	at := a.Addresses()
	for _, address := range []string{at.Public, at.Internal, strings.TrimPrefix(at.NATS, "nats://")} {
		if port, err := netip.ParseAddrPort(address); err != nil || port.Port() == 0 {
			t.Errorf("%q is not a real address: %v", address, err)
		}
	}
	file := app.AddressesFile(app.Dir(a))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"public":%q,"internal":%q,"nats":%q}`+"\n", at.Public, at.Internal, at.NATS)
	if string(data) != want {
		t.Errorf("addresses.json is %s, want %s", data, want)
	}
	if read, err := app.ReadAddresses(app.Dir(a)); err != nil || read != at {
		t.Errorf("read %+v, %v; want %+v", read, err, at)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("addresses.json after a clean stop: %v", err)
	}
	if _, err := app.ReadAddresses(app.Dir(a)); err == nil || !strings.Contains(err.Error(), "belfry serve") {
		t.Errorf("the error has no remedy: %v", err)
	}
}

func TestAddressesOfAKilledGatewayAreGone(t *testing.T) {
	a := apptest.New(t, func(o *config.Options) {
		if err := os.WriteFile(app.AddressesFile(o.Data), []byte(`{"public":"127.0.0.1:1"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		o.NATS.URL = []string{"nats://127.0.0.1:1"} // so that it does not get ready
	})
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.ReadAddresses(app.Dir(a)); err == nil {
		t.Error("they are still there")
	}
}

func TestATakenPortIsAnErrorWithKeyAndRemedy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for key, set := range map[string]func(*config.Options){
		"public.listen":   func(o *config.Options) { o.Public.Listen = taken.Addr().String() },
		"internal.listen": func(o *config.Options) { o.Internal.Listen = taken.Addr().String() },
		"nats.listen":     func(o *config.Options) { o.NATS.Listen = taken.Addr().String() },
	} {
		t.Run(key, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			a := apptest.New(t, set)
			err := a.Start(context.Background())
			if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), taken.Addr().String()) {
				t.Fatalf("the error names neither key nor address: %v", err)
			}
			apptest.Eventually(t, "what it began is ended", func() bool { return runtime.NumGoroutine() <= goroutines })
		})
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	o := apptest.Options(t)
	for range 2 { // the same directory and lock a second time
		a, err := app.New(o, apptest.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		apptest.Ready(t, a)
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	apptest.Eventually(t, "its goroutines are gone", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestRootTellsWhatThisIs(t *testing.T) {
	a := apptest.Start(t)
	public := "http://" + a.Addresses().Public
	status, body := apptest.Get(t, public+"/")
	if status != http.StatusUpgradeRequired || !strings.Contains(body, "Belfry") || !strings.Contains(body, "WebSocket") {
		t.Errorf("%d %q", status, body)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/demo/publish", "/index.html"} {
		if status, _ := apptest.Get(t, public+path); status != http.StatusNotFound {
			t.Errorf("%s is there: %d", path, status)
		}
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="bad_handshake"}`, 0)
	answer, err := http.DefaultClient.Do(request(t, public+"/", "Upgrade", "websocket"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="bad_handshake"}`, 1)
}

func TestDemoPageIsThereWhenAskedFor(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.Demo = true })
	if status, body := apptest.Get(t, "http://"+a.Addresses().Public+"/"); status != 200 || !strings.Contains(body, "<html") {
		t.Errorf("%d %.80q", status, body)
	}
	c := apptest.Dial(t, a.Addresses().Public)
	if reply := c.Auth("57uiWCKp/44wImihy0C9+g=="); reply != `{"success":true,"user_id":1}` {
		t.Fatalf("the example backend said %q", reply)
	}
	c.Want()
	apptest.MetricBecomes(t, a, "belfry_subscriptions", 1)
	for _, kind := range []string{"durable", "legacy"} {
		order := fmt.Sprintf(`{"user":"1","data":"hello","kind":%q,"id":"one"}`, kind)
		r := request(t, "http://"+a.Addresses().Public+"/demo/publish", "Content-Type", "application/json")
		r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(order))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 || kind == "durable" && !strings.Contains(string(said), `"seq":1`) {
			t.Errorf("%s: %d %s", kind, answer.StatusCode, said)
		}
		if got := c.Next(); !strings.Contains(got, "hello") {
			t.Errorf("%s: got %q", kind, got)
		}
	}
}

func request(t *testing.T, url string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestConnectionLimit(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.Limits.Connections = 2 })
	public := a.Addresses().Public
	first := apptest.Dial(t, public)
	apptest.Dial(t, public)
	_, answer, err := apptest.TryDial(t, public)
	if err == nil || answer == nil || answer.StatusCode != 503 || answer.Header.Get("Belfry-Reason") != "limit" || answer.Header.Get("Retry-After") == "" {
		t.Fatalf("the third: %v %v", answer, err)
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="limit"}`, 1)
	apptest.MetricBecomes(t, a, "belfry_connections_limit", 2)
	first.Close()
	apptest.MetricBecomes(t, a, `belfry_connections{dialect="messagechannel"}`, 1)
	apptest.Dial(t, public)
}

// Sockets that never ask for anything are bounded too: beyond 256 more than
// there may be connections they are closed at once.
func TestSilentSocketsAreBounded(t *testing.T) {
	const limit, spare, more = 3, 256, 20
	a := apptest.Start(t, func(o *config.Options) { o.Limits.Connections = limit })
	for range limit + spare + more {
		c, err := net.Dial("tcp", a.Addresses().Public)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="limit"}`, more)
}

func TestOrigins(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.Public.Origins = []string{"https://example.com"} })
	public := a.Addresses().Public
	_, answer, err := apptest.TryDial(t, public, "Origin", "https://evil.example")
	if err == nil || answer == nil || answer.StatusCode != 403 || answer.Header.Get("Belfry-Reason") != "bad_origin" {
		t.Fatalf("another origin: %v %v", answer, err)
	}
	apptest.MetricBecomes(t, a, `belfry_refusals_total{reason="bad_origin"}`, 1)
	apptest.Dial(t, public, "Origin", "https://example.com")
	apptest.Dial(t, public) // no browser
}

func TestBackendIsToldAboutTheClient(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	asked := make(chan nats.Header, 1)
	nc := apptest.Connect(t, a.Addresses().NATS)
	if _, err := nc.Subscribe("authentication", func(m *nats.Msg) {
		asked <- m.Header
		_ = m.Respond([]byte(apptest.Refusal))
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	c := apptest.Dial(t, a.Addresses().Public,
		"X-Forwarded-For", "203.0.113.9, 127.0.0.2", "Origin", "https://example.com", "User-Agent", "a test")
	c.Auth("x")
	got := <-asked
	for name, want := range map[string]string{
		"Belfry-Contract":       "1",
		"Belfry-Remote-Address": "203.0.113.9",
		"Belfry-Origin":         "https://example.com",
		"Belfry-User-Agent":     "a test",
		"Belfry-Dialect":        "messagechannel",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if got.Get("Belfry-Connection") == "" {
		t.Error("Belfry-Connection is empty")
	}
}

// A client that sends its request a byte at a time loses its socket.
func TestSlowHandshakesAreCutOff(t *testing.T) {
	a := apptest.New(t)
	app.SetHeadersWithin(t, 200*time.Millisecond)
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	apptest.Ready(t, a)
	c, err := net.Dial("tcp", a.Addresses().Public)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webso"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(apptest.Patience))
	if _, err := bufio.NewReader(c).ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was not cut off: %v", err)
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("cut off after %v already", took)
	}
}
