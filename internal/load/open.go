package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"belfry/internal/load/receive"
)

// connectWithin is how long no connection may get any further.
const connectWithin = 35 * time.Second

// group is a group as this plan would have it: connections on mod indexes from
// base on.
func (r *run) group(name string, base, mod int, channels bool) (receive.Group, error) {
	g := receive.Group{
		Name: name, Dialect: r.Dialect, URLs: r.URLs, Seed: r.Seed, Base: base, Mod: mod, Channels: channels,
		Tokens: r.Tokens, Handshakes: max(1, r.Handshakes/r.Processes), Tell: 10 * time.Millisecond,
	}
	if r.Rate == 0 { // the publisher waits for it
		g.Tell = 2 * time.Millisecond
	}
	if r.Dialect == "nats" {
		for i := range mod {
			s, err := r.subject(base+i, channels)
			if err != nil {
				return g, fmt.Errorf("the subject of %s: %w", r.name(base+i, channels), err)
			}
			g.Subjects = append(g.Subjects, s)
		}
	}
	return g, nil
}

// connect connects a group, and returns when all of it is subscribed.
func (r *run) connect(ctx context.Context, group string) (ConnectResult, error) {
	f, total := r.fleet, r.fleet.group(group).total
	cpu, began := r.meter.cpu(), time.Now()
	if err := f.do(receive.Command{Do: "connect", Group: group}); err != nil {
		return ConnectResult{}, err
	}
	err := f.await(ctx, connectWithin, func() bool {
		p := f.sum(group)
		r.env.Say(fmt.Sprintf("connecting: %d of %d subscribed", p.Subscribed, total))
		return p.Failed > 0 || p.Closed > 0 || p.Subscribed == total
	})
	took := time.Since(began)
	p := f.sum(group)
	switch {
	case ctx.Err() != nil:
		return ConnectResult{}, fmt.Errorf("interrupted while connecting: %d of %d connections were subscribed", p.Subscribed, total)
	case errors.Is(err, errStuck):
		return ConnectResult{}, fmt.Errorf("connecting does not get on: %d of %d connections are subscribed, and none more within %v", p.Subscribed, total, connectWithin)
	case err != nil:
		return ConnectResult{}, err
	}
	report, err := r.report(ctx, group, nil)
	if err != nil {
		return ConnectResult{}, err
	}
	if p.Failed+p.Closed > 0 {
		return ConnectResult{}, fmt.Errorf("%d of %d connections were subscribed when others could not be opened: %s%s", p.Subscribed, total, reasons(report.failures, report.closed), r.hint(report.failures))
	}
	return ConnectResult{
		TookS: took.Seconds(), PerS: float64(total) / took.Seconds(), Latency: latencyOf(report.connect),
		CPU: r.perUse(cpu, uint64(total)),
	}, nil
}

// hint is what to do about the usual reasons.
func (r *run) hint(failures map[string]int) string {
	all := strings.Join(slices.Collect(maps.Keys(failures)), " ")
	switch {
	case strings.Contains(all, "connection refused"):
		return "\nDoes a gateway listen there? (--url, or --data for the directory of a running one)"
	case strings.Contains(all, "Authentication is unavailable"), strings.Contains(all, "auth_unavailable"):
		return "\nThe gateway found nobody who answers authentication: is --nats its NATS, and --prefix its own?"
	case strings.Contains(all, `"success":false`), strings.Contains(all, "401"):
		return "\nIs there another backend that answers authentication? Give users' tokens with --tokens then"
	case strings.Contains(all, "503"), strings.Contains(all, "limit"):
		return "\nThe gateway is full, starting or going away: limits.connections, or its own limit of descriptors"
	}
	return ""
}

// reasons are counted words, the most frequent ones.
func reasons(maps ...map[string]int) string {
	var all []string
	for _, m := range maps {
		for why, n := range m {
			all = append(all, fmt.Sprintf("%d × %s", n, why))
		}
	}
	slices.Sort(all)
	if len(all) > 5 {
		all = append(all[:5], "…")
	}
	return strings.Join(all, "; ")
}

// perUse is the servers' CPU since a reading, in µs for each of n.
func (r *run) perUse(since map[string]usage, n uint64) map[string]float64 {
	per := map[string]float64{}
	if n == 0 {
		return per
	}
	for name, u := range r.meter.cpu() {
		used := u.all() - since[name].all()
		per[name] = float64(used.Microseconds()) / float64(n)
		per["total"] += per[name]
	}
	return per
}

// A report is what all of a group's workers have reported.
type report struct {
	receive.Report
	failures, closed         map[string]int
	latency, connect, caught *hdrhistogram.Histogram
}

// report asks for it. published is by index, from the group's base on.
func (r *run) report(ctx context.Context, group string, published []uint64) (*report, error) {
	all := newReport()
	err := r.fleet.ask(ctx, receive.Command{Do: "report", Group: group, Published: published}, func(e receive.Event) error {
		if e.Report == nil {
			return errors.New("a receiver answered something else than was asked")
		}
		return all.add(e.Report)
	})
	return all, err
}

func newReport() *report {
	return &report{failures: map[string]int{}, closed: map[string]int{}, latency: receive.Histogram(), connect: receive.Histogram(), caught: receive.Histogram()}
}

// add adds a worker's.
func (all *report) add(p *receive.Report) error {
	one := &report{Report: *p, failures: p.Failures, closed: p.Closed}
	for _, h := range []struct {
		to   **hdrhistogram.Histogram
		from []byte
	}{{&one.latency, p.Latency}, {&one.connect, p.Connect}, {&one.caught, p.Caught}} {
		var err error
		if *h.to, err = hdrhistogram.Decode(h.from); err != nil {
			return fmt.Errorf("decode a receiver's histogram: %w", err)
		}
	}
	all.join(one)
	return nil
}

// join adds another group's.
func (all *report) join(p *report) {
	all.Expected += p.Expected
	all.Deliveries += p.Deliveries
	all.Lost += p.Lost
	all.Duplicated += p.Duplicated
	all.Reordered += p.Reordered
	all.Misdelivered += p.Misdelivered
	all.Foreign += p.Foreign
	all.Resets += p.Resets
	all.Whole += p.Whole
	for why, n := range p.failures {
		all.failures[why] += n
	}
	for why, n := range p.closed {
		all.closed[why] += n
	}
	all.latency.Merge(p.latency)
	all.connect.Merge(p.connect)
	all.caught.Merge(p.caught)
}

func (all *report) counts() Counts {
	return Counts{
		Expected: all.Expected, Deliveries: all.Deliveries, Lost: all.Lost, Duplicated: all.Duplicated,
		Reordered: all.Reordered, Misdelivered: all.Misdelivered, Latency: latencyOf(all.latency),
	}
}
