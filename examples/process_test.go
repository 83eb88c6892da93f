package examples_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen at once. A race
// build on a busy machine is slow.
const patience = 30 * time.Second

// process is a program that the test started, and ends.
type process struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	exited chan struct{} // closed once it has ended and its output is complete
}

// start starts a program with nothing in its environment but PATH, HOME and
// env, so that settings of the machine don't reach it.
func start(t *testing.T, stdin io.Reader, env []string, argv ...string) *process {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stdin = stdin
	return startCmd(t, cmd)
}

func startCmd(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %v: %v", cmd.Args, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%v said:\n%s%s", cmd.Args, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// run is start for a program that ends by itself, and returns its exit code.
func run(t *testing.T, stdin io.Reader, env []string, argv ...string) (*process, int) {
	t.Helper()
	p := start(t, stdin, env, argv...)
	return p, p.wait(t)
}

func (p *process) wait(t *testing.T) (exitCode int) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("%v still runs after %v", p.cmd.Args, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop asks the process to end, and kills it when it doesn't.
func (p *process) stop() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		<-p.exited
		return
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// says waits until the process has said the words n times on stderr.
func (p *process) says(t *testing.T, words string, n int) {
	t.Helper()
	eventually(t, p.cmd.Args[len(p.cmd.Args)-1]+" says "+words, func() bool {
		select {
		case <-p.exited:
			t.Fatalf("%v ended before it said %q", p.cmd.Args, words)
		default:
		}
		return strings.Count(p.stderr.String(), words) >= n
	})
}

// eventually polls until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

// output is what a process wrote so far.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
