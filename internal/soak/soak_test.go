//go:build soak

// Package soak puts load on a real gateway, a process of its own with an
// embedded NATS, and reports what it measured. `make soak` runs it, without the
// race detector; docs/performance.md has the figures of one run. Its clients
// are in the test's process and on the same machine: compare what was measured
// in one run.
package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long anything may take.
const patience = 2 * time.Minute

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "belfry-soak")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "belfry")
	if out, err := exec.Command("go", "build", "-o", binary, "belfry/cmd/belfry").CombinedOutput(); err != nil {
		fmt.Printf("building belfry: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A gateway is a running process.
type gateway struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses struct{ Public, Internal, NATS string }
	nc        *nats.Conn
	js        jetstream.JetStream
}

// start starts a gateway and a backend for it: the token user:ID is user ID.
func start(t *testing.T, env ...string) *gateway {
	t.Helper()
	data := t.TempDir()
	g := &gateway{t: t, cmd: exec.Command(binary, "serve", "--data", data,
		"--public", "127.0.0.1:0", "--internal", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")}
	g.cmd.Env = append(os.Environ(), env...)
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.cmd.Process.Signal(syscall.SIGINT)
		g.cmd.Wait()
	})
	await(t, "the gateway", func() bool {
		text, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		return err == nil && json.Unmarshal(text, &g.addresses) == nil
	})
	var err error
	if g.nc, err = nats.Connect(g.addresses.NATS); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.nc.Close)
	if g.js, err = jetstream.New(g.nc, jetstream.WithPublishAsyncMaxPending(4096)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.nc.Subscribe("authentication", func(m *nats.Msg) {
		user := strings.TrimPrefix(string(m.Data), "user:")
		m.Respond([]byte(`{"success":true,"user_id":"` + user + `","cache_for":600}`))
	}); err != nil {
		t.Fatal(err)
	}
	if err := g.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return g
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// publish stores messages and waits for all acks.
func (g *gateway) publish(n int, user func(i int) int) {
	g.t.Helper()
	for i := range n {
		u := user(i)
		data := fmt.Sprintf(`{"n":%d,"user":%d,"text":"%064d"}`, i, u, i)
		if _, err := g.js.PublishAsync(fmt.Sprint("notification.", u), []byte(data), jetstream.WithStallWait(patience)); err != nil {
			g.t.Fatal(err)
		}
	}
	select {
	case <-g.js.PublishAsyncComplete():
	case <-time.After(patience):
		g.t.Fatal("not all publishes were acknowledged")
	}
}

// metric reads one metric.
func (g *gateway) metric(name string) float64 {
	g.t.Helper()
	r, err := http.Get("http://" + g.addresses.Internal + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, _ := strconv.ParseFloat(value, 64)
			return v
		}
	}
	g.t.Fatalf("no metric %s", name)
	return 0
}

// read waits until the sequencer has handed on everything that is stored.
func (g *gateway) read(stored int) {
	g.t.Helper()
	await(g.t, "the gateway to have read the stream", func() bool {
		return g.metric(`belfry_stream_watermark{stream="notifications"}`) >= float64(stored)
	})
}

// rss is the gateway's resident memory in KB, cpu what it has used.
func (g *gateway) rss() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.cmd.Process.Pid))
	fields := strings.Fields(string(text))
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize() / 1024
}

func (g *gateway) cpu() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// events opens an EventSource and reads until n publications have come, whose
// text it returns with the last id.
func (g *gateway) events(ctx context.Context, user int, since string, n int) (got []string, last string, err error) {
	r, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://%s/events?token=user:%d&since=%s&start=now", g.addresses.Public, user, since), nil)
	nc, err := dial(g.addresses.Public, user)
	if err != nil {
		return nil, "", err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if err := r.Write(nc); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(nc)
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	event := ""
	for len(got) < n || last == "" {
		if !lines.Scan() {
			return got, last, fmt.Errorf("the stream ended: %w", lines.Err())
		}
		switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
		case "event":
			event = value
		case "id":
			last = value
		case "data":
			if event == "" {
				got = append(got, value)
			}
		case "":
			event = ""
		}
	}
	return got, last, nil
}

// dial comes from one of many loopback addresses, so that ports last.
func dial(address string, i int) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/200%200), byte(1+i%200))}, Timeout: patience}
	return d.Dial("tcp", address)
}

// percentile of durations, in ms.
func percentile(all []time.Duration, p int) float64 {
	slices.Sort(all)
	return float64(all[(len(all)-1)*p/100].Microseconds()) / 1000
}

// each runs f for 0 to n-1, many at a time.
func each(n, lanes int, f func(i int)) {
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for i := lane; i < n; i += lanes {
				f(i)
			}
		})
	}
	wg.Wait()
}
