package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const benchLong = `Puts load on a gateway, or on a server of another kind, and measures it. It stands
outside: it connects as clients do, publishes as a backend does, and answers
authentication, where no backend does (--answer, --tokens). Linux only.

SCENARIO is one of

  idle      the memory of connections that do nothing
  connect   connecting, authenticating and subscribing
  fanout    one publication to many connections
  unicast   publications to one user each
  mixed     single messages while a broadcast goes to many
  resume    many clients come back at once, and have missed something
  slow      a part of the clients never reads: what do the others feel?

Every payload says who it is for, its number and its time, so that what is lost,
comes twice, out of order or to another is counted exactly. Latency is from before
the publication to the read. At a rate, it counts from when a publication was due;
flat out (--rate 0) at most --in-flight are under way.

It publishes as users and channels of its own, named by --seed, into the streams
of the gateway, where they stay as long as everything does. A gateway with users
of its own feels the load: measure one that has none.

--pid gateway=12,nats=13 has it read what those processes use. It needs a
descriptor for each connection, and so does the gateway (ulimit -n).

The exit code is 1 where anything was lost, or came as it should not have.`

const benchExample = `  belfry bench idle --connections 5000 --pid gateway=1234
  belfry bench fanout --connections 1000 --rate 20 --duration 10s
  belfry bench unicast --connections 10000 --rate 2000 --json
  belfry bench fanout --dialect centrifuge --url ws://127.0.0.1:8000/connection/websocket --nats nats://127.0.0.1:4222`

type benching struct {
	opts *options
	plan app.BenchPlan
	json bool
}

func benchCommand() *cobra.Command {
	b := &benching{plan: app.BenchDefaults()}
	cmd := &cobra.Command{
		Use:     "bench SCENARIO",
		Short:   "Put load on a gateway and measure it",
		Long:    benchLong,
		Example: benchExample,
		Args:    exactly("SCENARIO"),
	}
	b.opts = addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	b.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b.plan.Scenario = args[0]
		return b.run(cmd.Flags().Changed("rate"))
	}
	cmd.AddCommand(benchWorkerCommand())
	return cmd
}

func (b *benching) flags(cmd *cobra.Command) {
	f, p := cmd.Flags(), &b.plan
	f.StringVar(&p.Dialect, "dialect", p.Dialect, "what clients speak: messagechannel, eventsource, centrifuge (JSON over WebSocket) or `nats` (over WebSocket)")
	f.StringSliceVar(&p.URLs, "url", nil, "`URL` that clients connect to, several by comma (default as the gateway wrote to --data)")
	f.StringSliceVar(&p.PIDs, "pid", nil, "name=PID of processes whose CPU and memory to report, by comma")
	f.IntVar(&p.Connections, "connections", 0, "how many `connections` (default 10000; fanout 1000)")
	f.IntVar(&p.Channels, "channels", p.Channels, "fanout: over so many channels; with messagechannel, users")
	f.IntVar(&p.Users, "users", 0, "unicast, mixed: how many `users` get single messages (default one a connection; mixed 1000)")
	f.Float64Var(&p.Rate, "rate", 0, "publications a second, 0 for flat out (default 0; mixed 200, slow 20000)")
	f.Float64Var(&p.BroadcastRate, "broadcast-rate", p.BroadcastRate, "mixed: broadcasts a second")
	f.Float64Var(&p.BusyRate, "busy-rate", p.BusyRate, "slow: publications a second for those who never read")
	f.IntVar(&p.BusySize, "busy-size", p.BusySize, "slow: bytes of these")
	f.IntVar(&p.Messages, "messages", 0, "how many `publications` (default, flat out: 10000; unicast 100000)")
	f.DurationVar(&p.Duration, "duration", 0, "for how long to publish (default, at a rate: 10s; slow 30s)")
	f.IntVar(&p.InFlight, "in-flight", p.InFlight, "flat out: most publications that have not reached all")
	f.IntVar(&p.Size, "size", p.Size, "bytes of a payload")
	f.StringVar(&p.Publish, "publish", "", "`how`: durable (acknowledged by the stream), core, or live (default durable; core for centrifuge and nats)")
	f.BoolVar(&p.Answer, "answer", p.Answer, "answer authentication; --answer=false where somebody else does")
	f.StringVar(&p.Tokens, "tokens", "", "`file` of a token, a tab and a user id a line, instead of --answer")
	f.IntVar(&p.Missed, "missed", p.Missed, "resume: publications that each client has missed")
	f.Float64Var(&p.Slow, "slow", p.Slow, "slow: share of connections that never read")
	f.IntVar(&p.Processes, "processes", 0, "receiver `processes` (default one for 19000 connections)")
	f.IntVar(&p.Handshakes, "handshakes", 0, "most connections that are being opened at the same time (default 256; resume 2048)")
	f.DurationVar(&p.Settle, "settle", p.Settle, "idle: how long to wait before memory is read")
	f.DurationVar(&p.Patience, "patience", p.Patience, "for how long nothing may arrive before what is missing counts as lost")
	f.StringVar(&p.Seed, "seed", "", "8 hex `digits` that name users and channels, and order publications (default random ones)")
	f.BoolVar(&b.json, "json", false, "print the result as JSON")
}

func (b *benching) run(rated bool) error {
	if !rated {
		b.plan.Rate = -1
	} else if b.plan.Rate < 0 {
		return flagMistake("rate", fmt.Sprintf("is %v", b.plan.Rate), "write publications a second, or 0 for flat out")
	}
	o, err := b.opts.loadFor("nats", "subjects", "durable")
	if err != nil {
		return err
	}
	if len(b.plan.URLs) == 0 {
		if b.plan.URLs, err = gatewayURLs(o.Data, b.plan.Dialect); err != nil {
			return err
		}
	}
	nats := ""
	if err := b.plan.Check(); err != nil {
		return err
	}
	if b.plan.NeedsNATS() {
		if nats, err = natsURL(o); err != nil {
			return err
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary, to start receivers: %w", err)
	}
	runtime.GOMAXPROCS(1) // see benchWorkerCommand
	ctx, stop := interruptible()
	defer stop()
	told := newProgress(os.Stderr)
	result, err := app.Bench(ctx, o, nats, b.plan, []string{binary, "bench", "worker"}, told.say)
	told.end()
	return b.report(result, err)
}

// report prints what was measured, also where it was cut short.
func (b *benching) report(r *app.BenchResult, err error) error {
	if r == nil {
		return err
	}
	if b.json {
		text, failed := json.Marshal(r)
		if failed != nil {
			return fmt.Errorf("write the result as JSON: %w", failed)
		}
		fmt.Printf("%s\n", text)
	} else {
		r.WriteTable(os.Stdout)
	}
	switch {
	case err != nil:
		return err
	case r.Cut:
		return fmt.Errorf("interrupted")
	case r.Wrong():
		return fmt.Errorf("not everything came as it should: lost %d, twice %d, out of order %d, to another %d", r.Lost, r.Duplicated, r.Reordered, r.Misdelivered)
	}
	return nil
}

// gatewayURLs is where clients connect to the gateway with this data directory.
func gatewayURLs(dir, dialect string) ([]string, error) {
	otherwise := "name the server with --url ws://host:6003/"
	if dialect != "messagechannel" && dialect != "eventsource" {
		return nil, flagMistake("url", "is missing", "the dialect "+dialect+" is not Belfry's: write ws://host:port/path")
	}
	a, err := addresses(dir, otherwise)
	if err != nil {
		return nil, err
	}
	if dialect == "eventsource" {
		return []string{"http://" + a.Public + "/events"}, nil
	}
	return []string{"ws://" + a.Public + "/"}, nil
}

// benchWorkerCommand is how the command starts receivers. It is nobody else's.
func benchWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Be a receiver of belfry bench",
		Hidden: true,
		Args:   exactly(),
		RunE: func(*cobra.Command, []string) error {
			// Ctrl-C goes to all processes of the terminal, and so does its end: the
			// coordinator still has questions, and ends this one.
			signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			// The work is one goroutine's. With more threads the runtime wakes one up
			// for each thing that comes in, to look for more: that was a quarter of what
			// the generator used, on cores that it shares with what it measures.
			runtime.GOMAXPROCS(1)
			if err := app.BenchWorker(os.Stdin, os.Stdout); err != nil {
				return errQuiet // the coordinator was told
			}
			return nil
		},
	}
}
