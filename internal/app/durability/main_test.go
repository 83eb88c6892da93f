// Package durability has only tests: they hold whole gateways to the promise of
// docs/delivery.md, with clients of every dialect, while something goes wrong.
package durability

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/verify/nodes/nodestest"
)

// belfry builds the gateway once for all tests that kill it. Its own race
// detector is off: what it does wrong when it is killed is seen by its clients.
var belfry = sync.OnceValues(func() (string, error) {
	out := filepath.Join(binaries, "belfry")
	text, err := exec.Command("go", "build", "-o", out, "belfry/cmd/belfry").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the gateway: %w: %s", err, text)
	}
	return out, nil
})

var binaries string // a directory for it

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "belfry-durability-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaries = dir
		return nodestest.Main(m)
	}()
	os.Exit(code)
}

// A gateway is one in a process of its own, which can be killed and comes back
// with the same data directory, at other ports.
type gateway struct {
	t    testing.TB
	env  []string
	data string
	at   app.Addresses
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when the process is gone
}

// launch starts one; nats is where NATS is, "" for its own.
func launch(t testing.TB, nats string, env ...string) *gateway {
	t.Helper()
	g := prepare(t, nats, env...)
	g.start()
	return g
}

// prepare is launch without starting it.
func prepare(t testing.TB, nats string, env ...string) *gateway {
	t.Helper()
	data := t.TempDir()
	g := &gateway{t: t, data: data, env: append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + data, "BELFRY_DATA=" + data, "BELFRY_NATS_URL=" + nats,
		"BELFRY_PUBLIC_LISTEN=127.0.0.1:0", "BELFRY_INTERNAL_LISTEN=127.0.0.1:0", "BELFRY_NATS_LISTEN=127.0.0.1:0",
		"BELFRY_DRAIN_DELAY=0s", "BELFRY_DRAIN=0s",
	}, env...)}
	t.Cleanup(func() {
		if g.cmd != nil {
			g.kill()
		}
	})
	return g
}

// start starts it and waits until it is ready.
func (g *gateway) start() {
	g.t.Helper()
	g.begin()
	g.await()
}

// begin starts it.
func (g *gateway) begin() {
	g.t.Helper()
	path, err := belfry()
	if err != nil {
		g.t.Fatal(err)
	}
	_ = os.Remove(g.file()) // of the one that was killed
	log := &output{}
	g.log = log
	g.cmd, g.done = exec.Command(path, "serve"), make(chan struct{})
	g.cmd.Env, g.cmd.Dir, g.cmd.Stderr, g.cmd.Stdout = g.env, g.data, log, log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatalf("starting a gateway: %v", err)
	}
	cmd, done := g.cmd, g.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
}

func (g *gateway) file() string { return filepath.Join(g.data, "addresses.json") }

// await waits until it is ready.
func (g *gateway) await() {
	g.t.Helper()
	apptest.Eventually(g.t, "a gateway is ready", func() bool {
		select {
		case <-g.done:
			g.t.Fatalf("a gateway ended before it was ready: %s", g.log)
		default:
		}
		text, err := os.ReadFile(g.file())
		return err == nil && json.Unmarshal(text, &g.at) == nil
	})
}

// terminate is SIGTERM. It waits until the process is gone, and wants it to end
// well.
func (g *gateway) terminate() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatalf("ending a gateway: %v", err)
	}
	select {
	case <-g.done:
	case <-time.After(2 * apptest.Patience):
		g.t.Fatalf("a gateway has not ended: %s", g.log)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.t.Errorf("a gateway ended with code %d: %s", code, g.log)
	}
	g.cmd = nil
}

// kill is kill -9, and returns when the process is gone.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill() // it may be gone
	<-g.done
	g.cmd = nil
}

// freeze has it do nothing more until it is killed. Its sockets stay open.
func (g *gateway) freeze() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		g.t.Fatalf("freezing a gateway: %v", err)
	}
}

// run has the client commands do something, and returns what they print.
func run(t testing.TB, args ...string) string {
	t.Helper()
	path, err := belfry()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("belfry %q: %v: %s", args, err, text)
	}
	return string(text)
}

type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
