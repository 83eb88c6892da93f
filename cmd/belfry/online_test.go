package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const user1Token = "57uiWCKp/44wImihy0C9+g==" // of the example backend

// gateway is a running binary.
type gateway struct {
	cmd      *exec.Cmd
	out, log transcript
	done     chan struct{} // closed when it has ended
}

var anyPorts = []string{"--public", "127.0.0.1:0", "--internal", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}

func start(t *testing.T, environ []string, args ...string) *gateway {
	t.Helper()
	g := &gateway{cmd: command(t, environ, args...), done: make(chan struct{})}
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.cmd.Wait(); close(g.done) }()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.done
	})
	return g
}

func (g *gateway) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) wantExit(t *testing.T, code int) {
	t.Helper()
	<-g.done // the command's context bounds it
	if got := g.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d; the log:\n%s", got, code, &g.log)
	}
}

// addresses waits for what a ready gateway writes.
func (g *gateway) addresses(t *testing.T, dir string) (at struct{ Public, Internal, NATS string }) {
	t.Helper()
	g.log.wait(t, "msg=ready")
	b, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &at); err != nil {
		t.Fatal(err)
	}
	return at
}

// The demo's promise: the line that it prints works in a second terminal.
func TestDemoPublishListen(t *testing.T) {
	g := start(t, nil, append([]string{"demo"}, anyPorts...)...)
	g.out.wait(t, "Ctrl-C ends the demo")
	line := regexp.MustCompile(`(?m)^  (\S+ publish .*)$`).FindStringSubmatch(g.out.String())
	dir := regexp.MustCompile(`--data (\S+)`).FindStringSubmatch(g.out.String())
	if line == nil || dir == nil {
		t.Fatalf("no line that publishes in:\n%s", &g.out)
	}
	var arrived, status transcript
	listen := command(t, nil, "listen", "--data", dir[1], "--token", "-")
	listen.Stdin, listen.Stdout, listen.Stderr = strings.NewReader(user1Token+"\n"), &arrived, &status
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	status.wait(t, "listening")
	// What the client has sent may still be on its way: publish until it arrives.
	for end := time.Now().Add(patience); !strings.Contains(arrived.String(), "hello\n"); {
		if time.Now().After(end) {
			t.Fatalf("the publication did not arrive; listen said:\n%s\nthe gateway:\n%s", &status, &g.log)
		}
		shell := command(t, nil)
		shell.Path, shell.Args = "/bin/sh", []string{"sh", "-c", line[1]}
		finish(t, shell).want(t, 0, "subject=notification.1 stream=BELFRY_NOTIFICATIONS", "position=n-", "id=")
	}
	if err := listen.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := listen.Wait(); err != nil {
		t.Errorf("listen after Ctrl-C: %v", err)
	}
	runIn(t, nil, "listen", "--data", dir[1], "--token", "wrong").want(t, 1, "refused the token")

	for _, words := range []string{"id=same", "a duplicate"} {
		cmd := command(t, nil, "publish", "--data", dir[1], "--id", "same", "2", "-")
		cmd.Stdin = strings.NewReader("from stdin")
		finish(t, cmd).want(t, 0, words)
	}
	runIn(t, nil, "publish", "--data", dir[1], "--prefix", "acme", "--timeout", "500ms", "1", "x").want(t, 1, "--id ", "--prefix", "stored or not")
	large := command(t, nil, "publish", "--data", dir[1], "--id", "large", "2", "-")
	large.Stdin = strings.NewReader(strings.Repeat("x", 2<<20))
	finish(t, large).want(t, 1, "maximum payload", "--id large")

	g.signal(t, os.Interrupt)
	g.wantExit(t, 0)
	if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
		t.Errorf("the demo's directory is still there: %v", err)
	}
}

// What is published by command and by API is followed from NATS, from a position
// on, and a rotation is told.
func TestPublishFollowRotate(t *testing.T) {
	dir := t.TempDir()
	g := start(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...)
	at := g.addresses(t, dir)
	position := regexp.MustCompile(`position=(\S+)`)
	publish := func(args ...string) string {
		t.Helper()
		r := runIn(t, nil, append([]string{"publish", "--data", dir}, args...)...)
		m := position.FindStringSubmatch(r.out)
		if r.code != 0 || m == nil {
			t.Fatalf("publish %q: %d %s%s", args, r.code, r.out, r.err)
		}
		return m[1]
	}
	first := publish("--channel", "orders", "--id", "order-1", "one")
	if again := publish("--channel", "orders", "--id", "order-1", "one"); again != first {
		t.Errorf("the same id is at %s and %s", first, again)
	}
	publish("--channel", "orders", "--ttl", "1h", "two")
	personal := publish("42", "hello")
	answer, err := http.Post("http://"+at.Internal+"/api/publish", "application/json", strings.NewReader(`{"channel":"orders","data":{"n":3}}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()

	follow := func(args ...string) (cmd *exec.Cmd, out, status *transcript) {
		out, status = &transcript{}, &transcript{}
		cmd = command(t, nil, append([]string{"listen", "--data", dir}, args...)...)
		cmd.Stdout, cmd.Stderr = out, status
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		status.wait(t, "following")
		return cmd, out, status
	}
	_, all, _ := follow("--channel", "orders", "--since", "all", "--positions")
	since, later, status := follow("--channel", "orders", "--since", first)
	_, user, _ := follow("--user", "42", "--since", "all", "--positions")
	later.wait(t, "two\n{\"n\":3}\n")
	all.wait(t, "\t{\"n\":3}\n")
	if got := all.String(); !strings.HasPrefix(got, first+"\tone\n") {
		t.Errorf("followed %q", got)
	}
	user.wait(t, personal+"\thello\n")

	if err := since.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := since.Wait(); err != nil || later.String() != "two\n{\"n\":3}\n" {
		t.Errorf("after Ctrl-C: %v, it printed %q", err, later)
	}
	status.wait(t, "--since c-")

	runIn(t, nil, "epoch", "rotate", "--data", dir, "channels").want(t, 0, "rotated stream=BELFRY_CHANNELS epoch=")
	_, _, status = follow("--channel", "orders", "--since", first)
	status.wait(t, "reset, reason epoch")
}

func TestServeReloadsAndStops(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "my.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("auth: {timeout: 3s}\n")
	g := start(t, nil, append([]string{"serve", "--config", file, "--data", dir}, anyPorts...)...)
	at := g.addresses(t, dir)
	if at.Public == "" || at.Internal == "" || !strings.HasPrefix(at.NATS, "nats://127.0.0.1:") || strings.Contains(at.Public, ":0") {
		t.Errorf("addresses.json has %+v", at)
	}

	write("auth: {timeout: 2s}\nnats: {prefix: acme}\nlog: {level: debug}\n")
	g.signal(t, syscall.SIGHUP)
	g.log.wait(t, `applied="[auth.timeout log.level]"`)
	g.log.wait(t, "keys=[nats.prefix]")

	write("auth: {timeout: 2}\nnatz: {}\n")
	g.signal(t, syscall.SIGHUP)
	g.log.wait(t, "mistakes=2")
	g.log.wait(t, "key=auth.timeout")

	g.signal(t, syscall.SIGTERM)
	g.wantExit(t, 0)
	g.log.wait(t, "msg=stopped")
	if _, err := os.Stat(filepath.Join(dir, "addresses.json")); !os.IsNotExist(err) {
		t.Errorf("addresses.json is still there: %v", err)
	}
}

// A second signal ends a drain that somebody does not want to wait for.
func TestSecondSignal(t *testing.T) {
	g := start(t, nil, append([]string{"demo"}, anyPorts...)...)
	g.out.wait(t, "Ctrl-C ends the demo")
	g.signal(t, os.Interrupt)
	g.wantExit(t, 0)

	dir := t.TempDir()
	environ := []string{"BELFRY_DRAIN_DELAY=10m", "BELFRY_DEMO=true"}
	g = start(t, environ, append([]string{"serve", "--data", dir}, anyPorts...)...)
	at := g.addresses(t, dir)
	var status transcript
	listen := command(t, nil, "listen", "--url", "ws://"+at.Public+"/", "--token", user1Token)
	listen.Stderr = &status
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listen.Process.Kill(); _ = listen.Wait() }()
	status.wait(t, "listening")
	g.signal(t, syscall.SIGTERM)
	g.log.wait(t, "msg=draining")
	g.signal(t, syscall.SIGTERM)
	g.wantExit(t, exitFailed)
}

func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for i, key := range []string{"public.listen", "internal.listen", "nats.listen"} {
		args := append([]string{"serve"}, anyPorts...)
		args[2+2*i] = taken.Addr().String()
		runIn(t, nil, args...).want(t, exitFailed, key, taken.Addr().String())
	}
}

// What no waiting can mend ends the gateway, with the remedy.
func TestServeRefusesWhatCantWork(t *testing.T) {
	dir := t.TempDir()
	g := start(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...)
	nats := g.addresses(t, dir).NATS
	args := append([]string{"serve", "--data", t.TempDir(), "--nats", nats}, anyPorts[:4]...)
	runIn(t, []string{"BELFRY_SUBJECTS_NOTIFICATION=news"}, args...).want(t, exitFailed, "BELFRY_NOTIFICATIONS", "news.*")
}

// An embedded NATS that asks for a user: clients need the same configuration.
func TestPublishWithCredentials(t *testing.T) {
	dir := t.TempDir()
	environ := []string{"BELFRY_NATS_USER=me", "BELFRY_NATS_PASSWORD=geheim-geheim", "BELFRY_DATA=" + dir}
	g := start(t, environ, append([]string{"serve"}, anyPorts...)...)
	g.addresses(t, dir)
	runIn(t, environ, "publish", "1", "hello").want(t, 0, "published subject=notification.1 ")
	runIn(t, nil, "publish", "--data", dir, "--timeout", "2s", "1", "hello").want(t, exitFailed, "nats.user")
	if strings.Contains(g.log.String(), "geheim") {
		t.Errorf("the log tells the password:\n%s", &g.log)
	}
}
