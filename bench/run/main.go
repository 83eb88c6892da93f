// Command run measures Belfry and its peers side by side, and writes what came
// out: a page, the plots on it, and all numbers. It starts every server itself,
// on free ports of the loopback device, and ends only what it has started.
//
//	go run ./run                       the whole table, three rounds
//	go run ./run --quick               a smaller one, once
//	go run ./run --only '^unicast'     some of its figures
//	go run ./run --fleet               ten gateways with 190,000 clients, once
//	go run ./run --report results.json write page and plots again
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"belfry/bench/plan"
	"belfry/bench/report"
)

type options struct {
	only   string
	rounds int
	quick  bool
	fleet  bool
	out    string
	seed   uint
	report string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "the figures to measure: a regular expression for their ids; empty: all")
	flag.IntVar(&o.rounds, "rounds", 0, "how often each is measured; 0: three times, once with --quick and --fleet")
	flag.BoolVar(&o.quick, "quick", false, "a smaller table")
	flag.BoolVar(&o.fleet, "fleet", false, "ten gateways on one NATS instead")
	flag.StringVar(&o.out, "out", ".", "the directory for the results")
	flag.UintVar(&o.seed, "seed", 0, "names users, channels and payloads; 0: random")
	flag.StringVar(&o.report, "report", "", "measure nothing: write page and plots for this results file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.report != "" {
		results, err := report.Read(o.report)
		if err != nil {
			return err
		}
		return results.WriteAll(o.out)
	}
	p, err := o.plan()
	if err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = uint(rand.Uint32N(1 << 31))
	}
	s, err := newSession(ctx, p, o)
	if err != nil {
		return err
	}
	defer s.close()
	if p.Mode == "fleet" {
		err = s.fleet(ctx)
	} else {
		s.rounds(ctx)
	}
	// What was measured before an interruption is worth its page as well.
	if werr := s.results.WriteAll(o.out); werr != nil {
		return werr
	}
	page, _, _ := s.results.Files()
	fmt.Fprintln(os.Stderr, "written:", filepath.Join(o.out, page))
	if err != nil {
		return err
	}
	return ctx.Err()
}

// plan is what --quick, --fleet and --only ask for.
func (o *options) plan() (plan.Plan, error) {
	p := plan.Full()
	rounds := 3
	switch {
	case o.quick && o.fleet:
		return p, fmt.Errorf("--quick and --fleet are two tables: take one")
	case o.quick:
		p, rounds = plan.Quick(), 1
	case o.fleet:
		p, rounds = plan.Fleet(), 1
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.rounds < 1 {
		return p, fmt.Errorf("--rounds %d: one at least", o.rounds)
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return p, fmt.Errorf("--only: %w", err)
	}
	var ids []string
	for _, f := range p.Figures {
		ids = append(ids, f.ID)
	}
	p.Figures = slices.DeleteFunc(p.Figures, func(f plan.Figure) bool { return !only.MatchString(f.ID) })
	if len(p.Figures) == 0 {
		return p, fmt.Errorf("--only %s matches no figure; there are %v", o.only, ids)
	}
	return p, nil
}

// command is how these results are had again.
func (o options) command() string {
	switch {
	case o.quick:
		return "cd bench && go run ./run --quick"
	case o.fleet:
		return "cd bench && go run ./run --fleet"
	}
	return "cd bench && go run ./run"
}
