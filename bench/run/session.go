package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"belfry/bench/plan"
	"belfry/bench/report"
)

// A session is one run of a plan.
type session struct {
	dir      string // for what is built and stored meanwhile
	programs programs
	results  report.Results
	began    time.Time
}

func newSession(ctx context.Context, p plan.Plan, o options) (*session, error) {
	raiseDescriptors()
	dir, err := os.MkdirTemp("", "belfry-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	s := &session{dir: dir, began: time.Now()}
	s.results = report.Results{
		Started: time.Now(), Command: o.command(), Seed: uint32(o.seed), Rounds: o.rounds, Plan: p, Machine: machine(),
	}
	if s.programs, err = build(ctx, dir, p); err != nil {
		s.close()
		return nil, err
	}
	s.results.Versions = s.programs.versions(ctx)
	return s, nil
}

func (s *session) close() { _ = os.RemoveAll(s.dir) }

// rounds measures every row once, then once again. What fails is a row that
// says so.
func (s *session) rounds(ctx context.Context) {
	for round := 1; round <= s.results.Rounds; round++ {
		if m, err := itself(); err != nil {
			fmt.Fprintf(os.Stderr, "the machine itself was not measured before round %d: %v\n", round, err)
		} else {
			s.results.Itself = append(s.results.Itself, m)
		}
		for _, f := range s.results.Plan.Figures {
			if f.Once && round > 1 {
				continue
			}
			for _, row := range f.Rows {
				if ctx.Err() != nil {
					return
				}
				s.record(s.measure(ctx, f, row, round))
			}
		}
	}
}

func (s *session) record(r report.Run) {
	s.results.Runs = append(s.results.Runs, r)
	s.results.TookS = time.Since(s.began).Seconds()
	fmt.Fprintf(os.Stderr, "%6.0f s  round %d  %-16s %-46s %s\n", s.results.TookS, r.Round, r.Figure, r.Row, outcome(s.results.Plan, r))
}

// measure starts a server, runs the generator against it, and ends it.
func (s *session) measure(ctx context.Context, f plan.Figure, row plan.Row, round int) (r report.Run) {
	r = report.Run{Figure: f.ID, Row: row.ID(), Round: round}
	began := time.Now()
	defer func() { r.TookS = time.Since(began).Seconds() }()
	dir, err := os.MkdirTemp(s.dir, "row-")
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	d := &deployment{dir: dir, programs: s.programs}
	defer d.stop()
	if err := d.start(ctx, plan.ByID(row.Server)); err != nil {
		r.Error = "did not start: " + s.plain(err.Error())
		return r
	}
	s.generate(ctx, d, f, row, &r)
	if dead := d.dead(); dead != "" {
		r.Error = s.plain(dead + "; " + r.Error)
	}
	return r
}

// name of a file within the session's directory, and nothing else of it, is
// what a message may say.
func (s *session) plain(text string) string {
	return replacePath(text, filepath.Clean(s.dir))
}
