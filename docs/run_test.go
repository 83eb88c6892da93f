package docs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A demo is a running `belfry demo` on free ports.
type demo struct {
	dir       string // has ./belfry
	addresses struct{ Public, NATS string }
}

func startDemo(t *testing.T) demo {
	t.Helper()
	d := demo{dir: filepath.Dir(build(t))}
	data := t.TempDir()
	cmd := exec.Command("./belfry", "demo", "--public", "127.0.0.1:0", "--internal", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", data)
	cmd.Dir = d.dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the demo: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("the demo did not end within 20 s of Ctrl-C")
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(data, "addresses.json")); err == nil && json.Unmarshal(text, &d.addresses) == nil {
			return d
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended: %v\n%s", err, log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the demo was not ready within 30 s")
		}
	}
}

// command runs a snippet in a shell, with the addresses of this demo in place
// of the usual ones.
func (d demo) command(ctx context.Context, snippet string) *exec.Cmd {
	snippet = strings.ReplaceAll(snippet, "127.0.0.1:6003", d.addresses.Public)
	snippet = strings.ReplaceAll(snippet, "nats://127.0.0.1:4222", d.addresses.NATS)
	cmd := exec.CommandContext(ctx, "sh", "-ec", "exec "+strings.TrimSpace(snippet))
	cmd.Dir = d.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// The marked snippets run as they stand; what one publishes, a listening one
// prints. Each listens to a demo of its own: one that listened before may leave
// something to be sent again.
func TestSnippets(t *testing.T) {
	var listens, publishes []block
	for _, b := range blocks(t, "sh") {
		switch b.mark {
		case "run":
			publishes = append(publishes, b)
		case "run: background":
			listens = append(listens, b)
		}
	}
	if len(listens) == 0 || len(publishes) == 0 {
		t.Fatalf("the docs have %d snippets that listen and %d that publish: at least one of each is needed", len(listens), len(publishes))
	}
	for _, listening := range listens {
		t.Run(listening.page, func(t *testing.T) {
			d := startDemo(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			heard := d.listen(ctx, t, listening)
			for _, b := range publishes {
				if out, err := d.command(ctx, b.text).CombinedOutput(); err != nil {
					t.Fatalf("%s says\n%sand it failed: %v\n%s", b.page, b.text, err, out)
				}
				select {
				case line := <-heard:
					if !strings.Contains(b.text, "'"+line+"'") {
						t.Errorf("%s: what was published by\n%sarrived as %s", b.page, b.text, line)
					}
				case <-ctx.Done():
					t.Fatalf("%s: what was published by\n%sdid not arrive", b.page, b.text)
				}
			}
		})
	}
}

// listen starts a snippet that listens, returns once it does, and sends each
// line that it prints.
func (d demo) listen(ctx context.Context, t *testing.T, b block) <-chan string {
	t.Helper()
	cmd := d.command(ctx, b.text)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	status := &firstWrite{ready: make(chan struct{})}
	cmd.Stderr = status
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			heard <- lines.Text()
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-done
	})
	select {
	case <-status.ready:
	case <-done:
		t.Fatalf("%s says\n%sand it ended:\n%s", b.page, b.text, status)
	case <-ctx.Done():
		t.Fatalf("%s says\n%sand it did not say that it listens:\n%s", b.page, b.text, status)
	}
	return heard
}

// firstWrite keeps what was written and tells when the listening is said.
type firstWrite struct {
	mu    sync.Mutex // guards the following
	text  bytes.Buffer
	said  bool
	ready chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.said && strings.Contains(w.text.String(), "listening") {
		w.said = true
		close(w.ready)
	}
	return len(p), nil
}

func (w *firstWrite) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.text.String())
}
