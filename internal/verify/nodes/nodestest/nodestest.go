// Package nodestest starts NATS servers in processes of their own for tests. The
// nats-server is built from this module's dependencies, once per test binary.
//
//	func TestMain(m *testing.M) { os.Exit(nodestest.Main(m)) }
package nodestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"belfry/internal/verify/nodes"
)

// Patience bounds what must happen.
const Patience = 30 * time.Second

var binaries string

var build = sync.OnceValues(func() (string, error) {
	out := filepath.Join(binaries, "nats-server")
	text, err := exec.Command("go", "build", "-o", out, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building nats-server: %w: %s", err, text)
	}
	return out, nil
})

// Main runs the tests with a place for the binary.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "belfry-nodes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	return m.Run()
}

// Binary is the path of the nats-server.
func Binary(t testing.TB) string {
	t.Helper()
	if binaries == "" {
		t.Fatal("nodestest.Main has not been called by TestMain")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Start starts nodes until the test is over; where it failed, it prints the ends
// of their logs.
func Start(t testing.TB, o nodes.Options) *nodes.Cluster {
	t.Helper()
	o.Binary = Binary(t)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	c, err := nodes.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for i := range c.Count() {
				text, err := os.ReadFile(c.Log(i))
				t.Logf("node %d (%v):\n%s", i, err, text[max(0, len(text)-4096):])
			}
		}
	})
	return c
}
