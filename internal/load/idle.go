package load

import (
	"context"
	"fmt"
	"time"

	"belfry/internal/load/receive"
)

// main is the name of the only group of most scenarios.
const mainGroup = "main"

// idle measures what a connection costs that does nothing. Nothing is published:
// the memory of that would be measured too. That connections are subscribed is
// the dialect's own answer.
func (r *run) idle(ctx context.Context) error {
	if err := r.openMain(ctx); err != nil {
		return err
	}
	until := time.Now().Add(r.Settle)
	for left := r.Settle; left > 0; left = time.Until(until) {
		r.env.Say(fmt.Sprintf("%d connections are subscribed, their memory is read in %.0f s", r.Connections, left.Seconds()))
		select {
		case <-time.After(min(left, time.Second)):
		case <-ctx.Done():
			return fmt.Errorf("interrupted while %d connections were idle", r.Connections)
		}
	}
	r.memory(r.Connections)
	return r.stillThere(ctx)
}

// connecting measures connecting alone. All connect once before, so that the
// gateway remembers who they are (cache_for), and what is measured is the
// gateway's part.
func (r *run) connecting(ctx context.Context) error {
	if err := r.openMain(ctx); err != nil {
		return err
	}
	cold := r.result.Connect
	cold.CPU = r.result.CPUPerConnection
	r.result.Cold = &cold
	if err := r.closeAll(ctx, mainGroup, false); err != nil {
		return err
	}
	again, err := r.connect(ctx, mainGroup)
	if err != nil {
		return err
	}
	r.connected(again)
	r.memory(r.Connections)
	return r.stillThere(ctx)
}

// openMain makes the main group, for idle connections of as many users, and
// connects it.
func (r *run) openMain(ctx context.Context) error {
	g, err := r.group(mainGroup, 0, r.Connections, false)
	if err != nil {
		return err
	}
	if err := r.fleet.open(g, r.Connections, r.fleet.workers); err != nil {
		return err
	}
	got, err := r.connect(ctx, mainGroup)
	if err == nil {
		r.connected(got)
	}
	return err
}

// connected enters how connecting went.
func (r *run) connected(c ConnectResult) {
	r.result.CPUPerConnection, c.CPU = c.CPU, nil
	r.result.Connect = c
}

// closeSettle is how long a gateway gets to notice that everybody has gone.
const closeSettle = time.Second

// closeAll ends a group's connections, and lets the gateway take notice.
func (r *run) closeAll(ctx context.Context, group string, cut bool) error {
	if err := r.fleet.do(receive.Command{Do: "close", Group: group, Cut: cut}); err != nil {
		return err
	}
	if err := r.fleet.await(ctx, stuckFor, func() bool { return r.fleet.sum(group).Open == 0 }); err != nil {
		return fmt.Errorf("close %s: %w", group, err)
	}
	return r.pause(ctx, closeSettle)
}

func (r *run) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
}

// memory enters what a connection takes.
func (r *run) memory(connections int) {
	conns := float64(connections)
	r.result.KernelPerConn = float64(kernelMemory()-r.kernel) / conns / 2 // both ends are on this machine
	r.after = r.meter.rss()
	for name, n := range r.after {
		per := float64(n-r.before[name]) / conns
		r.result.RSSPerConnection[name] = per
		r.result.RSSPerConnection["total"] += per
	}
}

// stillThere checks that all are, and enters who is not.
func (r *run) stillThere(ctx context.Context) error {
	report, err := r.report(ctx, mainGroup, nil)
	if err != nil {
		return err
	}
	for why, n := range report.closed {
		r.result.Closed += n
		r.result.CloseReasons[why] += n
	}
	if r.result.Closed > 0 {
		return fmt.Errorf("%d of %d connections were closed meanwhile: %s", r.result.Closed, r.Connections, reasons(report.closed))
	}
	return nil
}
