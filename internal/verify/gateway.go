package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"belfry/internal/verify/disk"
	"belfry/internal/verify/line"
)

// A gateway is a `belfry serve-stepped` of ours, or none for now, the line that clients
// reach it by, and those that it reaches NATS by.
type gateway struct {
	name   string
	binary string
	dir    string
	env    []string
	public string // host:port, the same after a restart
	front  *line.Proxy
	back   []*line.Proxy

	mu   sync.Mutex // guards the following
	cmd  *exec.Cmd
	done chan struct{}
	in   io.Writer     // tells it by how much its clock is wrong
	off  time.Duration // which is what it was told last
}

// newGateway makes one that is not started. env are its settings beside the
// ones that all have.
func newGateway(name, binary, dir string, back []*line.Proxy, env ...string) (*gateway, error) {
	g := &gateway{name: name, binary: binary, dir: filepath.Join(dir, "gateway"+name), back: back}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return nil, fmt.Errorf("gateway %s: %w", name, err)
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("gateway %s: %w", name, err)
	}
	g.public = fmt.Sprintf("127.0.0.1:%d", port)
	if g.front, err = line.Listen(g.public); err != nil {
		return nil, err
	}
	g.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir,
		"BELFRY_DATA=" + filepath.Join(g.dir, "data"), "BELFRY_PUBLIC_LISTEN=" + g.public, "BELFRY_INTERNAL_LISTEN=127.0.0.1:0",
		"BELFRY_DRAIN_DELAY=200ms", "BELFRY_DRAIN=1s", "BELFRY_EVENTSOURCE_HEARTBEAT=1s",
		"BELFRY_LIMITS_QUEUE=16KiB", "BELFRY_STREAM_MAX_BYTES=256MiB", "BELFRY_LOG_LEVEL=debug",
	}, env...)
	return g, nil
}

// target is how clients reach it.
func (g *gateway) target() target {
	return target{"gateway " + g.name, &url.URL{Scheme: "http", Host: g.front.Addr()}}
}

// log is the file that all its processes write on.
func (g *gateway) log() string { return filepath.Join(g.dir, "log") }

func (g *gateway) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	log, err := os.OpenFile(g.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start gateway %s: %w", g.name, err)
	}
	cmd := exec.Command(g.binary, "serve-stepped", "--", g.off.String())
	cmd.Env, cmd.Dir = g.env, g.dir
	// Through a pipe: a limit on the process's files must not silence it.
	cmd.Stdout = struct{ io.Writer }{log}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is not for it
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = log.Close()
		return fmt.Errorf("start gateway %s: %w", g.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended was our doing, or is in its log
		_ = log.Close()
		close(done)
	}()
	g.cmd, g.done, g.in = cmd, done, in
	return nil
}

// signal sends one. The process is our child and not waited for elsewhere: its
// pid is no other's.
func (g *gateway) signal(s os.Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to gateway %s: %w", s, g.name, err)
	}
	return nil
}

// fillDisk has all it writes on files fail; free ends that.
func (g *gateway) fillDisk() error { return g.disk(disk.Fill) }
func (g *gateway) freeDisk() error { return g.disk(disk.Free) }

func (g *gateway) disk(do func(pid int) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return do(g.cmd.Process.Pid)
}

// step has its clock be wrong by so much: the time of day, that is, as it alone
// sees it. One that is not there is told when it starts.
func (g *gateway) step(off time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.off = off
	if _, err := fmt.Fprintln(g.in, off); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("step the clock of gateway %s: %w", g.name, err)
	}
	return nil
}

// gone waits until its process has ended.
func (g *gateway) gone(ctx context.Context) error {
	g.mu.Lock()
	done := g.done
	g.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("gateway %s does not end: %w", g.name, context.Cause(ctx))
	}
}

// kill is kill -9; it waits until the process is gone.
func (g *gateway) kill() error {
	g.mu.Lock()
	cmd, done := g.cmd, g.done
	g.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := g.signal(os.Kill); err != nil {
		return err
	}
	<-done
	return nil
}

// close ends it and its lines for good.
func (g *gateway) close() error {
	err := g.kill()
	g.front.Close()
	for _, l := range g.back {
		l.Close()
	}
	return err
}

// ready waits until it says that it is.
func (g *gateway) ready(ctx context.Context) error {
	for {
		err := g.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("gateway %s is not ready: %w: %w", g.name, context.Cause(ctx), err)
		}
	}
}

func (g *gateway) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.public+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("/readyz says " + answer.Status)
	}
	return nil
}
