// Package examples_test runs the examples for real: as processes, against a
// NATS server in this process and against the gateway's own binary.
package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// language is one of the examples: how its two programs are started.
type language struct {
	name         string
	authenticate []string
	publish      []string
}

// eachLanguage runs a test for every example, side by side.
func eachLanguage(t *testing.T, test func(t *testing.T, l language)) {
	for _, l := range []func(*testing.T) language{php, node, golang} {
		l := l(t)
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

func php(t *testing.T) language {
	need(t, "php", "apt-get install php-cli")
	return language{"php", []string{"php", "php/authenticate.php"}, []string{"php", "php/publish.php"}}
}

func node(t *testing.T) language {
	need(t, "node", "apt-get install nodejs npm")
	if _, err := os.Stat("node/node_modules/@nats-io/transport-node"); err != nil {
		t.Fatal("the Node example's packages are missing: run npm ci in examples/node, or make test, which does")
	}
	return language{"node", []string{"node", "node/authenticate.js"}, []string{"node", "node/publish.js"}}
}

func golang(t *testing.T) language {
	dir := built(t, "go example", buildGo)
	return language{"go", []string{filepath.Join(dir, "authenticate")}, []string{filepath.Join(dir, "publish")}}
}

func need(t *testing.T, tool, remedy string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Fatalf("%s is missing, which this test runs: %s", tool, remedy)
	}
}

// binaries is where this run's programs are built, each once.
var binaries string

var (
	buildGo = sync.OnceValues(func() (string, error) { return goBuild("go", "./...") })
	// Built as make does, to share its cache.
	buildGateway = sync.OnceValues(func() (string, error) { return goBuild("..", "-trimpath", "./cmd/belfry") })
)

// built returns the directory with what a build made.
func built(t *testing.T, what string, build func() (string, error)) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatalf("building the %s: %v", what, err)
	}
	return dir
}

// goBuild runs go build in a module's directory, without cgo, and returns the
// directory of the programs.
func goBuild(module string, args ...string) (string, error) {
	dir, err := os.MkdirTemp(binaries, "")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", dir + "/"}, args...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
}

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "belfry-examples-"); err != nil {
		panic(err)
	}
	os.Chmod(binaries, 0o755) // a test runs one as another user
	// Where Debian has nginx and HAProxy, and who is not root does not look.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	code := m.Run()
	os.RemoveAll(binaries)
	os.Exit(code)
}
