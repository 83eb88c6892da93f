package load_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
	"belfry/internal/load"
	"belfry/internal/subject"
)

// plan is a small one for a gateway.
func plan(a *app.App, scenario, dialect string) load.Plan {
	p := load.Defaults()
	p.Scenario, p.Dialect, p.Seed = scenario, dialect, "0badcafe"
	p.Settle = 100 * time.Millisecond
	p.URLs = []string{"ws://" + a.Addresses().Public + "/"}
	if dialect == "eventsource" {
		p.URLs = []string{"http://" + a.Addresses().Public + "/events"}
	}
	p.PIDs = []string{fmt.Sprintf("test=%d", os.Getpid())}
	return p
}

// carryOut carries a plan out, with receivers in the test's process.
func carryOut(t *testing.T, a *app.App, p load.Plan) *load.Result {
	t.Helper()
	r, err := load.Run(t.Context(), p, load.Env{NATS: apptest.Connect(t, a.Addresses().NATS), Names: subject.Default("")})
	if err != nil {
		t.Fatalf("%s, %s: %v", p.Scenario, p.Dialect, err)
	}
	if r.Wrong() || r.Foreign+r.Resets != 0 || r.Deliveries != r.Expected || int64(r.Deliveries) < r.Latency.Count {
		t.Fatalf("%s, %s: %+v, %d foreign, %d resets", p.Scenario, p.Dialect, r.Counts, r.Foreign, r.Resets)
	}
	return r
}

// both runs a test for each of Belfry's dialects, with a gateway each.
func both(t *testing.T, test func(t *testing.T, dialect string, a *app.App), change ...func(*config.Options)) {
	t.Parallel()
	for _, dialect := range []string{"messagechannel", "eventsource"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(t, dialect, apptest.Start(t, change...))
		})
	}
}

func TestIdle(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "idle", dialect)
		p.Connections = 300
		r := carryOut(t, a, p)
		if r.Connect.Latency.Count != 300 || r.Connect.TookS <= 0 || r.Servers[0].RSSAfter <= 0 || len(r.RSSPerConnection) != 2 {
			t.Errorf("connect %+v, servers %+v, memory %v", r.Connect, r.Servers, r.RSSPerConnection)
		}
	})
}

func TestConnect(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "connect", dialect)
		p.Connections, p.Processes = 200, 2
		r := carryOut(t, a, p)
		if r.Connect.Latency.Count != 200 || r.Cold == nil || r.Cold.Latency.Count != 200 || r.CPUPerConnection["test"] <= 0 {
			t.Errorf("connect %+v, the first time %+v, CPU %v", r.Connect, r.Cold, r.CPUPerConnection)
		}
	})
}

// Flat out, at a rate, and each way to publish; over several receivers too.
func TestFanOutAndUnicast(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "fanout", dialect)
		p.Connections, p.Channels, p.Messages, p.InFlight, p.Processes = 60, 4, 100, 16, 2
		if r := carryOut(t, a, p); r.Published != 100 || r.Deliveries != 100*60/4 {
			t.Errorf("fan-out: %d published, %+v", r.Published, r.Counts)
		}
		for _, how := range []string{"live", "core"} {
			p.Publish, p.Seed = how, map[string]string{"live": "00000001", "core": "00000002"}[how]
			if r := carryOut(t, a, p); r.Deliveries != 100*60/4 {
				t.Errorf("fan-out, %s: %+v", how, r.Counts)
			}
		}
		p = plan(a, "unicast", dialect)
		p.Connections, p.Rate, p.Duration, p.Size, p.Seed = 50, 400, 500*time.Millisecond, 1000, "00000003"
		if r := carryOut(t, a, p); r.Published != 200 || r.Deliveries != 200 || r.DurationS < 0.45 {
			t.Errorf("unicast: %d published in %v s, %+v", r.Published, r.DurationS, r.Counts)
		}
	})
}

func TestMixed(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "mixed", dialect)
		p.Connections, p.Users, p.Duration, p.BroadcastRate = 100, 20, time.Second, 5
		r := carryOut(t, a, p)
		if got := r.Groups["broadcast"].Deliveries; got != 500 {
			t.Errorf("%d deliveries of the broadcast, want 500", got)
		}
		if got := r.Groups["single"].Deliveries; got != 200 {
			t.Errorf("%d deliveries of single messages, want 200", got)
		}
	})
}

func TestResume(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "resume", dialect)
		p.Connections, p.Missed = 100, 7
		r := carryOut(t, a, p)
		if r.Deliveries != 700 || r.Resume == nil || r.Resume.Latency.Count != 100 || r.Resume.TookS <= 0 {
			t.Errorf("%+v, resume %+v", r.Counts, r.Resume)
		}
	})
}

// Those who never read are closed, and complete when they have come back.
func TestSlow(t *testing.T) {
	both(t, func(t *testing.T, dialect string, a *app.App) {
		p := plan(a, "slow", dialect)
		p.Connections, p.Slow, p.Rate, p.Duration = 60, 0.05, 300, time.Second
		p.BusyRate, p.BusySize = 50, 128<<10
		r := carryOut(t, a, p)
		if r.Slow == nil || r.Slow.Clients != 3 || r.Slow.Closed != 3 || r.Slow.Complete != 3 || len(r.Slow.Reasons) == 0 {
			t.Errorf("slow: %+v", r.Slow)
		}
		for _, name := range []string{"before", "others"} {
			if g := r.Groups[name]; g.Expected != 300 || g.Deliveries != 300 {
				t.Errorf("%s: %+v", name, g.Counts)
			}
		}
		if r.Closed != 0 {
			t.Errorf("of the others %v were closed", r.CloseReasons)
		}
	}, func(o *config.Options) { o.Limits.Queue = 64 << 10 })
}

func TestTokens(t *testing.T) {
	a := apptest.Start(t)
	apptest.Backend(t, a.Addresses().NATS, "")
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("user:anna\tanna\nuser:b@c\tb@c\nuser:carl\tcarl\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := plan(a, "unicast", "messagechannel")
	p.Connections, p.Messages, p.Tokens = 3, 30, file
	if r := carryOut(t, a, p); r.Deliveries != 30 {
		t.Errorf("%+v", r.Counts)
	}
	if err := os.WriteFile(file, []byte("wrong\tanna\nuser:b@c\tb@c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Connections = 2
	_, err := load.Run(t.Context(), p, load.Env{NATS: apptest.Connect(t, a.Addresses().NATS), Names: subject.Default("")})
	if err == nil || !strings.Contains(err.Error(), `refused: {"success":false`) {
		t.Errorf("with a wrong token: %v", err)
	}
}

// The keys of the JSON are what other programs read.
func TestResultKeys(t *testing.T) {
	text, err := json.Marshal(load.Result{})
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields(`belfry go machine scenario dialect publish seed args started connections channels size rate processes
		published duration_s publications_per_s deliveries_per_s expected deliveries lost duplicated reordered misdelivered closed close_reasons
		latency_ms servers cpu_us_per_delivery cpu_us_per_connection rss_bytes_per_connection kernel_bytes_per_connection connect generator`) {
		if _, ok := keys[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
}
