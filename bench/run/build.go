package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"belfry/bench/plan"
)

// programs are the binaries, built into the session's directory.
type programs struct {
	belfry, centrifuge, floor, nats string
	peers                           string // the directory of their sources
}

// build makes what the plan needs. It runs in the bench module.
func build(ctx context.Context, dir string, p plan.Plan) (programs, error) {
	here, err := output(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "belfry/bench")
	if err != nil {
		return programs{}, fmt.Errorf("looking for the bench module (start this in bench/): %w", err)
	}
	bin := filepath.Join(dir, "bin")
	b := programs{
		belfry: filepath.Join(bin, "belfry"), centrifuge: filepath.Join(bin, "centrifuge"),
		floor: filepath.Join(bin, "floor"), nats: filepath.Join(bin, "nats"),
		peers: filepath.Join(here, "peers"),
	}
	fmt.Fprintln(os.Stderr, "building belfry and its peers…")
	vcs := "-buildvcs=true"
	if _, err := output(ctx, here, "git", "rev-parse", "-q", "--verify", "HEAD"); err != nil {
		vcs = "-buildvcs=false" // as in the Makefile: there is no commit to name
	}
	if _, err := output(ctx, filepath.Dir(here), "go", "build", "-trimpath", vcs, "-o", b.belfry, "./cmd/belfry"); err != nil {
		return b, fmt.Errorf("building belfry: %w", err)
	}
	if _, err := output(ctx, here, "go", "build", "-trimpath", "-o", bin+string(filepath.Separator), "./peers/..."); err != nil {
		return b, fmt.Errorf("building the peers: %w", err)
	}
	if !needs(p, plan.Node) {
		return b, nil
	}
	return b, installNode(ctx, filepath.Join(b.peers, "node"))
}

func needs(p plan.Plan, kind plan.Kind) bool {
	return slices.ContainsFunc(p.Figures, func(f plan.Figure) bool {
		return slices.ContainsFunc(f.Rows, func(r plan.Row) bool { return plan.ByID(r.Server).Kind == kind })
	})
}

// installNode installs what the lock file names, unless that is there.
func installNode(ctx context.Context, dir string) error {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("the clone is not whole: %w", err)
	}
	mark := filepath.Join(dir, "node_modules", ".installed")
	if installed, err := os.ReadFile(mark); err == nil && bytes.Equal(installed, lock) {
		return nil
	}
	if _, err := output(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		return fmt.Errorf("npm ci in bench/peers/node, which needs Node 20 and its registry: %w", err)
	}
	return os.WriteFile(mark, lock, 0o644)
}

// output runs a command and returns what it printed, trimmed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w\n%s", name, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
