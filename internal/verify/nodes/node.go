package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A node is one server: a process, or none for now.
type node struct {
	name        string
	dir         string
	addr, route string // host:port

	mu   sync.Mutex // guards the following; held while the process is ended
	cmd  *exec.Cmd  // nil where there was none yet
	done chan struct{}
}

func (n *node) config() string { return filepath.Join(n.dir, "nats.conf") }
func (n *node) log() string    { return filepath.Join(n.dir, "log") }

// start starts the process.
func (n *node) start(binary string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.alive() {
		return fmt.Errorf("start NATS node %s: it runs", n.name)
	}
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start NATS node %s: %w", n.name, err)
	}
	cmd := exec.Command(binary, "--config", n.config())
	// Through a pipe: a limit on the process's files must not silence it.
	cmd.Stdout = struct{ io.Writer }{log}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is not for it
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return fmt.Errorf("start NATS node %s: %w", n.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended was our doing, or is in its log
		_ = log.Close()
		close(done)
	}()
	n.cmd, n.done = cmd, done
	return nil
}

// alive says whether there is a process. mu is held.
func (n *node) alive() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alive()
}

// signal sends one to the process, which must be there: a process that has not
// been waited for keeps its pid, so that no other can be meant.
func (n *node) signal(s os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.alive() {
		return fmt.Errorf("send %v to NATS node %s: it does not run", s, n.name)
	}
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to NATS node %s: %w", s, n.name, err)
	}
	return nil
}

func (n *node) stop() error   { return n.signal(syscall.SIGSTOP) }
func (n *node) resume() error { return n.signal(syscall.SIGCONT) }

func (n *node) kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.alive() {
		return nil
	}
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill NATS node %s: %w", n.name, err)
	}
	<-n.done
	return nil
}

func (n *node) terminate(ctx context.Context) error {
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("end NATS node %s: %w: it is killed", n.name, context.Cause(ctx)), n.kill())
	}
}

// withPid does something to the process, which must be there.
func (n *node) withPid(f func(pid int) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.alive() {
		return fmt.Errorf("NATS node %s does not run", n.name)
	}
	if err := f(n.cmd.Process.Pid); err != nil {
		return fmt.Errorf("NATS node %s: %w", n.name, err)
	}
	return nil
}

// readyEvery is how often a node is asked whether it takes connections.
const readyEvery = 20 * time.Millisecond

// ready waits until the node takes connections. It fails where its process ends.
func (n *node) ready(ctx context.Context) error {
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	for {
		if err := n.greets(); err == nil {
			return nil
		}
		select {
		case <-time.After(readyEvery):
		case <-done:
			return fmt.Errorf("NATS node %s ended before it took connections; its log ends with: %s", n.name, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("NATS node %s takes no connections: %w; its log ends with: %s", n.name, context.Cause(ctx), n.tail())
		}
	}
}

// greets says whether a server answers at the node's address as NATS does.
func (n *node) greets() error {
	conn, err := net.DialTimeout("tcp", n.addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	info := make([]byte, len("INFO "))
	if _, err := io.ReadFull(conn, info); err != nil {
		return err
	}
	if string(info) != "INFO " {
		return fmt.Errorf("%s is taken by something else than NATS", n.addr)
	}
	return nil
}

// tail is the end of the node's log.
func (n *node) tail() string {
	text, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
