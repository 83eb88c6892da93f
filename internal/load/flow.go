package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// flow measures fan-out, one publication to many connections, and unicast, one
// to one each.
func (r *run) flow(ctx context.Context) error {
	indexes, channels := r.Channels, r.channels()
	if r.Scenario == "unicast" {
		indexes, channels = r.Users, false
	}
	g, err := r.group(mainGroup, 0, indexes, channels)
	if err != nil {
		return err
	}
	lanes, err := r.prepare(ctx, opening{g, r.Connections, r.fleet.workers})
	if err != nil {
		return err
	}
	defer closeLanes(lanes)
	return r.measure(ctx, lanes, r.pour)
}

// A publishing publishes on a lane, until ctx ends.
type publishing func(ctx context.Context, l *lane) error

// pour publishes at the plan's rate.
func (r *run) pour(ctx context.Context, l *lane) error {
	if r.Rate > 0 {
		return l.paced(ctx, r.Rate, r.Messages, r.Duration)
	}
	return l.flatOut(ctx, r.Messages, r.Duration)
}

// measure has each lane published on by its own function, at the same time, and
// enters what became of it: in all, and where there are several, of each.
func (r *run) measure(ctx context.Context, lanes []*lane, publish ...publishing) error {
	cpu, own := r.meter.cpu(), r.own.cpu()
	took, sent, err := r.publishAll(ctx, lanes, publish...)
	all := newReport()
	for _, l := range lanes {
		one, failed := r.report(context.WithoutCancel(ctx), l.group, l.seq)
		if failed != nil {
			return firstOf(err, failed)
		}
		all.join(one)
		r.result.Published += l.sent
		if len(lanes) > 1 {
			r.result.group(l.group, one.counts())
		}
	}
	r.enter(all)
	r.result.DurationS = took.Seconds()
	r.result.PublicationsPerS, r.result.DeliveriesPerS = float64(r.result.Published)/sent.Seconds(), float64(all.Deliveries)/took.Seconds()
	r.spent(cpu, own, all.Deliveries)
	return err
}

// enter enters counts.
func (r *run) enter(all *report) {
	r.result.Counts, r.result.Foreign, r.result.Resets = all.counts(), all.Foreign, all.Resets
	r.closures(all)
}

// closures enters why connections were closed.
func (r *run) closures(all *report) {
	for why, n := range all.closed {
		r.result.Closed += n
		r.result.CloseReasons[why] += n
	}
}

// spent enters the CPU used since two readings, the servers' and the
// generator's, for so many deliveries.
func (r *run) spent(cpu, own map[string]usage, deliveries uint64) {
	r.result.CPUPerDelivery = r.perUse(cpu, deliveries)
	if deliveries > 0 {
		used := r.own.cpu()["generator"].all() - own["generator"].all()
		r.result.Generator.CPUPerDelivery = float64(used.Microseconds()) / float64(deliveries)
	}
}

// lingering is for how long what comes twice may still come.
const lingering = 200 * time.Millisecond

// publishAll publishes on lanes at the same time, and returns when everything
// has arrived or nothing does any more: how long that took, and the publishing
// alone. Where ctx ends it stops and waits a moment for what is under way.
func (r *run) publishAll(ctx context.Context, lanes []*lane, publish ...publishing) (took, sent time.Duration, err error) {
	watched := r.watch(lanes)
	defer watched()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go r.leave(ctx, lanes, end)
	began := time.Now()
	errs := make([]error, len(lanes))
	var wg sync.WaitGroup
	for i, l := range lanes {
		wg.Go(func() { errs[i] = publish[i](ctx, l) })
	}
	wg.Wait()
	sent = time.Since(began)
	after, cancel := afterwards(ctx)
	defer cancel()
	for i, l := range lanes {
		errs[i] = firstOf(errs[i], l.arrive(after))
	}
	took = time.Since(began)
	_ = r.pause(after, lingering)
	if gone := context.Cause(ctx); errors.Is(gone, errGone) {
		errs = append([]error{gone}, errs...)
	}
	return took, sent, firstOf(errs...)
}

// errGone is that everybody who receives is.
var errGone = errors.New("all connections have ended meanwhile: the figures are of the time until then")

// leave ends the publishing when there is nobody any more that it is for, or who
// could tell what has arrived.
func (r *run) leave(ctx context.Context, lanes []*lane, end context.CancelCauseFunc) {
	for ctx.Err() == nil {
		err := r.fleet.await(ctx, r.Patience, func() bool {
			there := 0
			for _, l := range lanes {
				there += r.fleet.sum(l.group).Subscribed
			}
			return there == 0
		})
		switch {
		case err == nil:
			end(errGone)
		case !errors.Is(err, errStuck): // a receiver is gone, or ctx has ended
			end(err)
		}
	}
}

// afterwards is a context for what is to be done behind the publishing, also
// where that was interrupted: then it lasts a moment longer.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watch tells once a second how far it is, until what it returns is called.
func (r *run) watch(lanes []*lane) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for last := uint64(0); ; {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			now, there, total := uint64(0), 0, 0
			for _, l := range lanes {
				p := r.fleet.sum(l.group)
				now, there, total = now+p.Deliveries, there+p.Subscribed, total+r.fleet.group(l.group).total
			}
			r.env.Say(fmt.Sprintf("%d deliveries, %d a second; %d of %d connections are there", now, now-min(last, now), there, total))
			last = now
		}
	}()
	return func() { close(done); <-ended }
}
