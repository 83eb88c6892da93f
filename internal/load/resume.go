package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belfry/internal/load/receive"
)

const (
	tailGroup = "tail"
	// confirmWithin is longer than messagechannel takes to confirm what it has
	// sent: a ping a second behind it, and the pong.
	confirmWithin = 2500 * time.Millisecond
)

// resume measures many clients that come back at once.
//
// They leave as clients of their dialect do that mean to come back: an
// EventSource's line just ends, its position is its own. With messagechannel it
// is the gateway that knows where they stood: they wait until it has their
// pongs, and say goodbye. A line that breaks would leave a ticket for five
// minutes, which is another thing than being away.
//
// They come back when each gateway has read what was published: one more user,
// the tail, is connected to each, and has got what was published last.
func (r *run) resume(ctx context.Context) error {
	g, err := r.group(mainGroup, 0, r.Connections, false)
	if err != nil {
		return err
	}
	tail, err := r.group(tailGroup, r.Connections, 1, false)
	if err != nil {
		return err
	}
	g.Positions = true
	lanes, err := r.prepare(ctx, opening{g, r.Connections, r.fleet.workers}, opening{tail, len(r.URLs), r.fleet.workers[:1]})
	if err != nil {
		return err
	}
	defer closeLanes(lanes)
	r.env.Say("waiting until what was sent is confirmed")
	if err := r.pause(ctx, confirmWithin); err != nil {
		return err
	}
	if err := r.closeAll(ctx, mainGroup, false); err != nil {
		return err
	}
	if err := r.miss(ctx, lanes[0], lanes[1]); err != nil {
		return err
	}
	return r.comeBack(ctx, lanes[0])
}

// miss publishes what the clients miss, and waits until all gateways have it.
func (r *run) miss(ctx context.Context, l, tail *lane) error {
	for range r.Connections * r.Missed {
		if err := l.next(ctx, r.clock.Now()); err != nil {
			return interrupted(ctx, err)
		}
		r.env.Say(fmt.Sprintf("%d of %d published", l.sent, r.Connections*r.Missed))
	}
	if err := l.settle(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if err := tail.next(ctx, r.clock.Now()); err != nil {
		return interrupted(ctx, err)
	}
	return interrupted(ctx, tail.arrive(ctx))
}

// interrupted is an error, or that ctx ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before anything was measured")
	}
	return err
}

func (r *run) comeBack(ctx context.Context, l *lane) error {
	f, cpu, own, began := r.fleet, r.meter.cpu(), r.own.cpu(), time.Now()
	if err := f.do(receive.Command{Do: "goal", Group: mainGroup, Seq: uint64(r.Missed), At: r.clock.Now()}); err != nil {
		return err
	}
	if err := f.do(receive.Command{Do: "connect", Group: mainGroup}); err != nil {
		return err
	}
	err := f.await(ctx, r.Patience, func() bool {
		p := f.sum(mainGroup)
		r.env.Say(fmt.Sprintf("%d of %d clients are caught up", p.Caught, r.Connections))
		return p.Caught == r.Connections || p.Failed > 0
	})
	took := time.Since(began)
	after, cancel := afterwards(ctx)
	defer cancel()
	_ = r.pause(after, lingering)
	report, failed := r.report(context.WithoutCancel(ctx), mainGroup, l.seq)
	if failed != nil {
		return failed
	}
	report.latency = report.caught // from published to read is how long they were away
	r.enter(report)
	r.spent(cpu, own, report.Deliveries)
	caught := latencyOf(report.caught)
	r.result.Published, r.result.DurationS, r.result.DeliveriesPerS = l.sent, took.Seconds(), float64(report.Deliveries)/took.Seconds()
	r.result.Resume = &ResumeResult{Clients: r.Connections, Missed: r.Missed, TookS: took.Seconds(), Latency: caught}
	switch {
	case len(report.failures) > 0:
		return fmt.Errorf("clients could not come back: %s%s", reasons(report.failures), r.hint(report.failures))
	case errors.Is(err, errStuck):
		return fmt.Errorf("%d of %d clients were caught up, and none more within %v", caught.Count, r.Connections, r.Patience)
	}
	return ended(ctx, err)
}
