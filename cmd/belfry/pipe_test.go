package main

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// pipe is one whose ends are closed with the test.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// Who reads the log may be gone first, as tee is after a Ctrl-C: a gateway still
// stops in good order.
func TestServeOutlivesTheReaderOfItsLog(t *testing.T) {
	dir := t.TempDir()
	r, w := pipe(t)
	g := &gateway{cmd: command(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...), done: make(chan struct{})}
	g.cmd.Stderr = w
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.cmd.Wait(); close(g.done) }()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.done
	})
	w.Close()
	go func() { _, _ = io.Copy(&g.log, r) }()
	g.addresses(t, dir)
	r.Close()
	g.signal(t, syscall.SIGTERM)
	g.wantExit(t, 0)
}

// Neither does a copy, or what is put back, end in the middle because nobody reads
// what is said of it.
func TestBackupAndRestoreOutliveTheReaderOfTheirOutput(t *testing.T) {
	dir := t.TempDir()
	g := start(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...)
	at := g.addresses(t, dir)
	runIn(t, nil, "publish", "--data", dir, "1", "hello").want(t, 0)
	r, w := pipe(t)
	r.Close()
	file := filepath.Join(t.TempDir(), "copy.tar")
	for _, args := range [][]string{{"backup", "--data", dir, "--to", file}, {"restore", "--data", dir, "--from", file, "--replace"}} {
		cmd := command(t, nil, args...)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = w, &errs
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v %s", args[0], err, &errs)
		}
	}
	// A stream that is still marked is one that no gateway starts with.
	again := start(t, nil, append([]string{"serve", "--data", t.TempDir(), "--nats", at.NATS}, anyPorts[:4]...)...)
	again.log.wait(t, "msg=ready")
}

// A terminal that is gone ends a command as Ctrl-C does.
func TestAHangUpIsAnInterrupt(t *testing.T) {
	dir := t.TempDir()
	g := start(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...)
	g.addresses(t, dir)
	// Who runs the tests may ignore it: what is heeded here is not ignored in a child.
	heeded := make(chan os.Signal, 1)
	signal.Notify(heeded, syscall.SIGHUP)
	defer signal.Stop(heeded)
	listen := start(t, nil, "listen", "--data", dir, "--user", "1")
	listen.log.wait(t, "following")
	listen.signal(t, syscall.SIGHUP)
	listen.wantExit(t, 0)
}
