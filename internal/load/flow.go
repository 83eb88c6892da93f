package load

import (
	"context"
	"fmt"
	"time"
)

// flow measures fan-out, one publication to many connections, and unicast, one
// to one each.
func (r *run) flow(ctx context.Context) error {
	g := r.group(mainGroup, 0, r.Channels, r.channels())
	if r.Scenario == "unicast" {
		g.Mod, g.Channels = r.Users, false
	}
	if g.Channels {
		r.grants = func(n int) []string { return []string{r.name(n%r.Channels, true)} }
	}
	if err := r.fleet.open(g, r.Connections, r.fleet.workers); err != nil {
		return err
	}
	got, err := r.connect(ctx, mainGroup)
	if err != nil {
		return err
	}
	r.connected(got)
	l, err := r.lane(mainGroup, r.Size)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.sentinels(ctx); err != nil {
		return err
	}
	r.memory()
	return r.measure(ctx, l)
}

// lingering is for how long what comes twice may still come.
const lingering = 200 * time.Millisecond

// measure publishes as the plan says, and enters what became of it.
func (r *run) measure(ctx context.Context, l *lane) error {
	cpu, own := r.meter.cpu(), r.own.cpu()
	done := r.watch(ctx, l)
	began := time.Now()
	err := r.pour(ctx, l, began)
	sent := time.Since(began)
	after, stop := r.afterwards(ctx)
	defer stop()
	if err == nil {
		err = l.arrive(after)
	}
	took := time.Since(began)
	close(done)
	_ = r.pause(after, lingering)
	report, failed := r.report(context.WithoutCancel(ctx), l.group, l.seq)
	if failed != nil {
		if err == nil {
			err = failed
		}
		return err
	}
	res := r.result
	res.Counts, res.Foreign = report.counts(), report.Foreign
	res.Published, res.DurationS = l.sent, took.Seconds()
	res.PublicationsPerS, res.DeliveriesPerS = float64(l.sent)/sent.Seconds(), float64(report.Deliveries)/took.Seconds()
	res.CPUPerDelivery = r.perUse(cpu, report.Deliveries)
	if report.Deliveries > 0 {
		used := r.own.cpu()["generator"].all() - own["generator"].all()
		res.Generator.CPUPerDelivery = float64(used.Microseconds()) / float64(report.Deliveries)
	}
	for why, n := range report.closed {
		res.Closed += n
		res.CloseReasons[why] += n
	}
	return err
}

// pour publishes at the plan's rate.
func (r *run) pour(ctx context.Context, l *lane, began time.Time) error {
	var until time.Time
	if r.Duration > 0 {
		until = began.Add(r.Duration)
	}
	if r.Rate > 0 {
		return l.paced(ctx, r.Rate, r.Messages, until)
	}
	return l.flatOut(ctx, r.Messages, until)
}

// afterwards is a context for what is to be done behind the publishing, also
// where that was interrupted: then it lasts a moment longer.
func (r *run) afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
}

// watch tells how far it is, until the channel is closed.
func (r *run) watch(ctx context.Context, l *lane) chan struct{} {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := r.fleet.sum(l.group).Deliveries
		for {
			select {
			case <-tick.C:
				p := r.fleet.sum(l.group)
				r.env.Say(fmt.Sprintf("%d deliveries, %d a second, %d of %d connections are there", p.Deliveries, p.Deliveries-last, p.Subscribed, r.fleet.group(l.group).total))
				last = p.Deliveries
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return done
}
