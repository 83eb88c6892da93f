// Package load is the load generator behind `belfry bench`. It stands where
// clients and a backend stand, outside a gateway: it reaches it by its dialects
// and by NATS, and knows nothing of how it works.
//
// The coordinator, which is this package, answers authentication, publishes,
// reads from /proc what the servers use, and adds up what the receivers
// (package receive) have counted. Receivers are processes, 19,000 connections
// each.
//
// Before it measures publishing it makes sure that every connection is
// subscribed, as far as its last hop: it publishes sentinels, payloads with the
// sequence 0, to each index until each connection has got one.
//
// What is published at a rate is an open loop: each publication is due at a
// time, which it carries, and a gateway or NATS that holds the publisher up pays
// for that in latency (no coordinated omission). Flat out is a closed loop: there
// are at most --in-flight publications that have not reached everyone they are
// for. Nobody is pushed into dropping then, and it is the same for every peer.
package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/load/payload"
	"belfry/internal/load/receive"
	"belfry/internal/subject"
)

// An Env is what a run needs of its surroundings.
type Env struct {
	NATS    *nats.Conn // nil where the plan needs none
	Names   subject.Names
	Worker  []string     // the command that starts a receiver; empty for goroutines
	Say     func(string) // takes a line about how far it is; may be called often
	Version string
	Args    []string
}

// A run is one plan being carried out.
type run struct {
	Plan
	env    Env
	fleet  *fleet
	meter  *meter
	own    *meter // of the generator itself
	clock  payload.Clock
	users  []string // by index, where there is a file of tokens
	result *Result
	before map[string]int64 // RSS before the first connection, in bytes
	after  map[string]int64 // and with all of them, where that was measured
	used   map[string]usage // CPU before the first connection
	kernel int64            // bytes, likewise
}

// Run carries a plan out. Where it returns both a result and an error, the
// result is what was measured until then.
func Run(ctx context.Context, p Plan, env Env) (*Result, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	r := &run{Plan: p, env: env, clock: payload.NewClock()}
	if r.env.Say == nil {
		r.env.Say = func(string) {}
	}
	if p.Tokens != "" {
		var err error
		if _, r.users, err = receive.ReadTokens(p.Tokens); err != nil {
			return nil, err
		}
	}
	r.result = &Result{
		Belfry: env.Version, Go: runtime.Version(), Machine: thisMachine(), Scenario: p.Scenario, Dialect: p.Dialect, Publish: p.Publish,
		Seed: p.Seed, Args: env.Args, Started: time.Now().UTC().Truncate(time.Second), Conns: p.Connections, Channels: p.Channels, Size: p.Size, Rate: p.Rate,
		Processes: p.Processes, CloseReasons: map[string]int{}, Servers: []Server{},
		CPUPerDelivery: map[string]float64{}, CPUPerConnection: map[string]float64{}, RSSPerConnection: map[string]float64{},
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	defer r.end()
	if p.answers() {
		s, err := answer(env.NATS, env.Names, r.granted)
		if err != nil {
			return nil, err
		}
		defer func() { _ = s.Unsubscribe() }()
	}
	err := r.scenario(ctx)
	if ctx.Err() != nil {
		r.result.Cut = true
	}
	if err != nil && r.result.Expected == 0 {
		return nil, err
	}
	r.servers()
	return r.result, err
}

func (r *run) scenario(ctx context.Context) error {
	switch r.Scenario {
	case "idle":
		return r.idle(ctx)
	case "connect":
		return r.connecting(ctx)
	case "fanout", "unicast":
		return r.flow(ctx)
	case "mixed":
		return r.mixed(ctx)
	case "resume":
		return r.resume(ctx)
	case "slow":
		return r.slow(ctx)
	}
	return errors.New("there is no scenario " + r.Scenario)
}

func (r *run) begin() (err error) {
	if r.meter, err = newMeter(r.PIDs); err != nil {
		return err
	}
	if r.fleet, err = startFleet(r.receivers(), r.env.Worker); err != nil {
		r.meter.close()
		return err
	}
	own := []string{fmt.Sprintf("generator=%d", os.Getpid())}
	for _, w := range r.fleet.workers {
		if w.pid > 0 {
			own = append(own, fmt.Sprintf("generator=%d", w.pid))
		}
	}
	if r.own, err = newMeter(own); err != nil {
		r.meter.close()
		r.fleet.stop()
		return err
	}
	r.before, r.kernel, r.used = r.meter.rss(), kernelMemory(), r.meter.cpu()
	return nil
}

// receivers is how many the scenario needs: mixed one more, for those who get
// single messages.
func (r *run) receivers() int {
	if r.Scenario == "mixed" {
		return r.Processes + 1
	}
	return r.Processes
}

func (r *run) end() {
	r.fleet.stop()
	r.own.close()
	r.meter.close()
}

// servers enters what the servers have used, from before the first connection
// until now.
func (r *run) servers() {
	used, after, peaks := r.meter.cpu(), r.after, r.meter.peaks()
	if after == nil {
		after = r.meter.rss()
	}
	for _, name := range r.meter.names {
		user, system := used[name].user-r.used[name].user, used[name].system-r.used[name].system
		r.result.Servers = append(r.result.Servers, Server{
			Name: name, PIDs: r.meter.pids[name], CPUS: (user + system).Seconds(), CPUUserS: user.Seconds(), CPUSystemS: system.Seconds(),
			RSSBefore: r.before[name], RSSAfter: after[name], RSSPeak: max(peaks[name], after[name]),
		})
	}
	r.result.Generator.CPUS = r.own.cpu()["generator"].all().Seconds()
}

// granted is what a user may read beside its own channel. It is called on NATS's
// goroutine.
func (r *run) granted(user string) []string {
	var n int
	if _, err := fmt.Sscanf(user, "b"+r.Seed+"-%d", &n); err != nil {
		return nil
	}
	if index, ok := r.fleet.channelOf(n); ok {
		return []string{r.name(index, true)}
	}
	return nil
}

// name is the user or channel of an index.
func (r *run) name(index int, channel bool) string {
	if r.users != nil && !channel {
		return r.users[index%len(r.users)]
	}
	return receive.Name(r.Seed, index)
}

// subject is where the publications for an index go.
func (r *run) subject(index int, channel bool) (string, error) {
	name := r.name(index, channel)
	switch {
	case channel && r.Publish == "live":
		return r.env.Names.Live(name)
	case channel:
		return r.env.Names.Channel(name)
	case r.Publish == "live":
		return r.env.Names.LegacyUser(name)
	}
	return r.env.Names.User(name)
}
