package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"belfry/bench/plan"
	"belfry/bench/report"
)

// How long a run of the generator may take: one, and one of a whole fleet.
const (
	deadline      = 100 * time.Second
	fleetDeadline = 8 * time.Minute
)

// generate runs `belfry bench` against a deployment.
func (s *session) generate(ctx context.Context, d *deployment, f plan.Figure, row plan.Row, r *report.Run) {
	within := deadline
	if s.results.Plan.Mode == "fleet" {
		within = fleetDeadline
	}
	args := slices.Concat([]string{"bench", f.Scenario}, plan.ByID(row.Server).Bench, f.Args, row.Args)
	for _, pid := range d.pids {
		args = append(args, "--pid", pid)
	}
	args = append(args, "--url", strings.Join(d.clients, ","), "--nats", d.nats,
		"--seed", fmt.Sprintf("%08x", s.seed(r.Round)))
	r.Command = "belfry " + strings.Join(args, " ")

	var out bytes.Buffer
	cmd := exec.Command(s.programs.belfry, append(args, "--json")...)
	cmd.Stdout = &out
	cmd.Env = withoutBelfry(cmd.Environ())
	cmd.Dir = d.dir
	c, err := spawn("belfry bench", filepath.Join(d.dir, "bench.log"), cmd)
	if err != nil {
		r.Error = err.Error()
		return
	}
	defer c.stop()
	select {
	case <-c.ended:
	case <-time.After(within):
		c.stop()
		r.Error = fmt.Sprintf("not done within %s: %s", within, s.plain(c.lastLine()))
		return
	case <-ctx.Done():
		r.Error = ctx.Err().Error()
		return
	}
	if err := json.Unmarshal(out.Bytes(), &r.Result); err != nil {
		r.Error = s.plain(c.dead())
		return
	}
	if c.err != nil {
		r.Error = s.plain(c.lastLine())
	}
}

// seed is one for each round, and with a fleet for each run: its streams stay, and
// users of an earlier run would be sent what that one has stored.
func (s *session) seed(round int) uint32 {
	if s.results.Plan.Mode == "fleet" {
		round = len(s.results.Runs) + 1
	}
	return s.results.Seed + uint32(round)
}

func replacePath(text, dir string) string { return strings.ReplaceAll(text, dir, "DIR") }

// outcome is a run in a few words.
func outcome(p plan.Plan, r report.Run) string {
	if r.Result == nil {
		return r.Error
	}
	var words []string
	for _, f := range p.Figures {
		if f.ID != r.Figure {
			continue
		}
		for _, c := range f.Columns {
			if x, ok := r.Number(c.Path); ok {
				words = append(words, fmt.Sprintf("%s %s", c.Title, plan.Number(x/c.Scale)))
			}
		}
	}
	if r.Error != "" {
		words = append(words, "("+r.Error+")")
	}
	return strings.Join(words, "; ")
}
