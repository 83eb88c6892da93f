package verify

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"net/http"

	"belfry/internal/subject"
	"belfry/internal/verify/judge"
)

// binaries is where the processes' binaries are built, without the race
// detector: the verifier has it, what it tries has its own tests.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "belfry-verify-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValue(func() error {
	for name, pkg := range map[string]string{"belfry": "belfry/cmd/belfry", "nats-server": "github.com/nats-io/nats-server/v2"} {
		if text, err := exec.Command("go", "build", "-o", filepath.Join(binaries, name), pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", name, err, text)
		}
	}
	return nil
})

// options are those of a small run.
func options(t *testing.T, topology Topology, seed uint64, duration time.Duration) Options {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return Options{
		Topology: topology, Seed: seed, Duration: duration, Users: 40, Channels: 3, Rate: 150, Names: subject.Default(""),
		Say: func(line string) { t.Log(line) }, Belfry: filepath.Join(binaries, "belfry"), NATSServer: filepath.Join(binaries, "nats-server"), Dir: t.TempDir(),
	}
}

// keeps fails unless the promise was kept, and the run was one.
func keeps(t *testing.T, o Options) *Report {
	t.Helper()
	t.Logf("topology %s, seed %d", o.Topology, o.Seed)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Errorf("topology %s, seed %d: %v", o.Topology, o.Seed, err)
	}
	if r == nil {
		return &Report{}
	}
	kept(t, r)
	return r
}

// kept fails unless a run kept the promise, and was one.
func kept(t *testing.T, r *Report) {
	t.Helper()
	var text strings.Builder
	r.Write(&text)
	t.Log(text.String())
	if !r.OK() {
		t.Errorf("topology %s, seed %d: the promise was broken", r.Topology, r.Seed)
	}
	if r.Acknowledged < 100 || r.Delivered < r.Acknowledged || r.Connections < r.Clients {
		t.Errorf("topology %s, seed %d: too little happened to prove anything", r.Topology, r.Seed)
	}
}

const short = 10 * time.Second

func TestOneGateway(t *testing.T)    { keeps(t, options(t, R1, 2, short)) }
func TestThreeGateways(t *testing.T) { keeps(t, options(t, R3, 4, short)) }

// A seed that was never tried before; the log has it.
func TestAnotherSeed(t *testing.T) {
	seed := rand.Uint64() >> 32
	keeps(t, options(t, []Topology{R1, R3}[seed%2], seed, short))
}

// A gateway that leaves one publication out is found out: here it is a proxy
// before a real one.
func TestOneThatIsDroppedIsFound(t *testing.T) {
	o := options(t, R1, 5, 3*time.Second)
	rec := newRecord(o.Say)
	s, err := startSystem(t.Context(), rec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	for name, drops := range map[string]int64{"nothing": 0, "one": 1} {
		t.Run(name, func(t *testing.T) {
			var left atomic.Int64
			left.Store(drops)
			d := dropper(t, "http://"+s.gateways[0].public, &left)
			r, err := Run(t.Context(), Options{
				Topology: Remote, Seed: 5, Duration: 3 * time.Second, Users: 20, Channels: 2, Rate: 100, Names: o.Names,
				NATS: s.nc, Gateways: []string{d},
			})
			if err != nil {
				t.Fatal(err)
			}
			if left.Load() != 0 {
				t.Fatal("nothing was there to be dropped")
			}
			for k, n := range r.Wrong {
				if want := int(drops); k == judge.Gap && n != want || k != judge.Gap && n != 0 {
					t.Errorf("%d times %s", n, k)
				}
			}
			if drops > 0 && (len(r.Violations) != 1 || r.Violations[0].Seq == 0 || len(r.Violations[0].Story) == 0) {
				t.Errorf("violations: %v", r.Violations)
			}
		})
	}
}

// dropper is a proxy that leaves out so many publications of event streams.
func dropper(t *testing.T, gateway string, left *atomic.Int64) string {
	to, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(to)
	p.FlushInterval = -1
	p.ModifyResponse = func(r *http.Response) error {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
			in, out := io.Pipe()
			go drop(r.Body, out, left)
			r.Body = in
		}
		return nil
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}

func drop(from io.ReadCloser, to *io.PipeWriter, left *atomic.Int64) {
	defer from.Close()
	var block bytes.Buffer
	lines := bufio.NewReader(from)
	for n := 0; ; {
		text, err := lines.ReadString('\n')
		if err != nil {
			_ = to.CloseWithError(err)
			return
		}
		block.WriteString(text)
		if text != "\n" {
			continue
		}
		if bytes.HasPrefix(block.Bytes(), []byte("id: ")) && bytes.Contains(block.Bytes(), []byte("\ndata: ")) {
			n++ // a publication on the personal channel
		}
		if n != 2 || left.Add(-1) < 0 {
			if n == 2 {
				left.Add(1)
			}
			if _, err := to.Write(block.Bytes()); err != nil {
				return
			}
		} else {
			n++
		}
		block.Reset()
	}
}

func TestTheSeedIsThePlan(t *testing.T) {
	for _, topology := range []Topology{R1, R3} {
		one, same, other := plan(topology, 1), plan(topology, 1), plan(topology, 2)
		if one != same {
			t.Errorf("%s: seed 1 has two plans:\n%s\n%s", topology, one, same)
		}
		if one == other {
			t.Errorf("%s: seeds 1 and 2 have the same plan", topology)
		}
		for _, k := range []kind{killGateway, terminateGateway, stopGateway, stepClock, cutClients, freezeClients, forgetClients, slowClients, cutNATS, freezeNATS, slowNATS, purgeStream, recreateStream, restoreStream} {
			if !strings.Contains(one, string(k)) {
				t.Errorf("%s: a long plan has no %q", topology, k)
			}
		}
	}
}

// plan spells the first turns of a plan.
func plan(topology Topology, seed uint64) string {
	p := newPlanner(seed, topology)
	var text strings.Builder
	for range 100 {
		fmt.Fprintln(&text, p.turn())
	}
	return text.String()
}

func TestPayloads(t *testing.T) {
	for i := range 1000 {
		id := fmt.Sprintf("v1-2.%d", i)
		data := payload(id)
		if got := idOf(data); got != id {
			t.Fatalf("payload of %s is of %s", id, got)
		}
		data[len(data)/2] ^= 1
		if got := idOf(data); got == id {
			t.Fatalf("payload of %s with a wrong byte passes: %q", id, data[:min(len(data), 80)])
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{Topology: R1, Duration: time.Second, Users: 1, Rate: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Options){
		"topology": func(o *Options) { o.Topology = "r2" }, "duration": func(o *Options) { o.Duration = 0 },
		"users": func(o *Options) { o.Users = 0 }, "rate": func(o *Options) { o.Rate = 0 },
		"channels": func(o *Options) { o.Channels = -1 }, "gateway": func(o *Options) { o.Topology = Remote },
	} {
		o := good
		change(&o)
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a wrong %s: %v", name, err)
		}
	}
}
