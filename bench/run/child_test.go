package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server's addresses are read, and with it ends what it has started.
func TestChildEndsWithItsGroup(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	cmd := exec.Command("sh", "-c", `sleep 1000 & echo $! >`+pids+`; echo '{"clients":"ws://a","nats":"nats://b"}'; wait`)
	c, at, err := spawnPeer(t.Context(), "it", filepath.Join(dir, "log"), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if at != (addresses{"ws://a", "nats://b"}) {
		t.Errorf("it listens on %+v", at)
	}
	if dead := c.dead(); dead != "" {
		t.Errorf("it runs, and is called %q", dead)
	}
	group := c.pid()
	c.stop()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := syscall.Kill(-group, 0); err == syscall.ESRCH {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("something of its group is left after 10 s")
		}
	}
}

// One that ends instead of being ready is an error with what it said last.
func TestChildThatFails(t *testing.T) {
	cmd := exec.Command("sh", "-c", "echo first >&2; echo the port is taken >&2; exit 3")
	_, _, err := spawnPeer(t.Context(), "it", filepath.Join(t.TempDir(), "log"), cmd)
	if err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("the error is %v, want what it logged last", err)
	}
	data := t.TempDir()
	_, _, err = spawnBelfry(t.Context(), "it", data, exec.Command("sh", "-c", "echo no licence >&2; exit 1"))
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "no licence") {
		t.Errorf("the error is %v, want how it ended and what it logged last", err)
	}
}

// An interruption ends one that is not ready yet.
func TestChildInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := exec.Command("sleep", "1000")
	if _, _, err := spawnPeer(ctx, "it", filepath.Join(t.TempDir(), "log"), cmd); err == nil {
		t.Error("no error")
	}
	if err := syscall.Kill(cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestOnly(t *testing.T) {
	o := options{only: "^unicast"}
	p, err := o.plan()
	if err != nil || len(p.Figures) != 2 || o.rounds != 3 {
		t.Errorf("%d figures in %d rounds, %v; want two in three", len(p.Figures), o.rounds, err)
	}
	o = options{only: "nothing-is-called-so", quick: true}
	if _, err := o.plan(); err == nil || !strings.Contains(err.Error(), "fanout-20") {
		t.Errorf("the error is %v, want the figures that there are", err)
	}
}

// What configures the gateways of whoever starts this does not reach ours.
func TestWithoutBelfry(t *testing.T) {
	t.Setenv("BELFRY_NATS_PREFIX", "acme")
	for _, v := range withoutBelfry(os.Environ()) {
		if strings.HasPrefix(v, "BELFRY_") {
			t.Errorf("%s is passed on", v)
		}
	}
}
