package app

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/load"
	"belfry/internal/load/receive"
)

type (
	// BenchPlan is what Bench measures.
	BenchPlan = load.Plan
	// BenchResult is what it has measured.
	BenchResult = load.Result
)

// BenchScenarios are the names of what can be measured.
func BenchScenarios() []string { return load.Scenarios() }

// BenchDefaults are a plan's, before its scenario is known.
func BenchDefaults() BenchPlan { return load.Defaults() }

// Bench carries a plan out, as clients and a backend, from outside of any
// gateway. natsURL is where NATS is; empty for the one in o. worker is the
// command that starts a receiver: this binary's. say gets a line about how far
// it is.
func Bench(ctx context.Context, o config.Options, natsURL string, p BenchPlan, worker []string, say func(string)) (*BenchResult, error) {
	env := load.Env{Names: bus.NamesOf(o), Worker: worker, Say: say, Args: os.Args[1:], Version: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		env.Version = info.Main.Version
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	if p.NeedsNATS() {
		dialing, cancel := context.WithTimeout(ctx, dialWithin)
		defer cancel()
		b, err := reach(dialing, o, natsURL)
		if err != nil {
			return nil, err
		}
		defer func() { _ = b.Close(context.WithoutCancel(ctx)) }() // there is no store of ours to lose
		env.NATS = b.Conn()
	}
	return load.Run(ctx, p, env)
}

// BenchWorker is a receiver: it does what comes in until that ends.
func BenchWorker(in io.Reader, out io.Writer) error { return receive.Serve(in, out) }
