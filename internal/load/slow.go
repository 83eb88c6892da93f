package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"belfry/internal/load/receive"
)

const (
	othersGroup = "others"
	slowGroup   = "slow"
	// witnessGroup reads the busy channel too, and does read: what it has got, its
	// gateway has tried to send to the slow ones.
	witnessGroup = "witness"
	busyGroup    = "busy" // nobody's: what is published there is for the slow ones' part of the load
	// slowBuffer is what the system keeps for who never reads, in bytes.
	slowBuffer = 4096
	// drainFor is how long nothing may come of what the slow ones' sockets have.
	drainFor = 5 * time.Second
)

// slow measures what clients that never read do to the others. The same is
// published twice: first without them, then with them there. They read one busy
// channel, each with a place of its own there. Then they do read what their
// sockets have, which ends with why the gateway closed them, and come back for
// the rest.
func (r *run) slow(ctx context.Context) error {
	slowOnes := max(1, int(math.Round(float64(r.Connections)*r.Slow)))
	others := r.Connections - slowOnes
	if others < 1 {
		return mistake("connections", fmt.Sprintf("is %d", r.Connections), "leave one at least that reads")
	}
	g, err := r.group(othersGroup, 0, others, false)
	if err != nil {
		return err
	}
	lanes, err := r.prepare(ctx, opening{g, others, r.fleet.workers})
	if err != nil {
		return err
	}
	defer func() { closeLanes(lanes) }()
	nobody, err := r.group(busyGroup, others, 1, r.channels())
	if err != nil {
		return err
	}
	if err := r.fleet.open(nobody, 0, nil); err != nil {
		return err
	}
	busy, err := r.lane(busyGroup, r.BusySize)
	if err != nil {
		return err
	}
	lanes = append(lanes, busy)
	if err := r.half(ctx, "before", lanes[0], busy); err != nil {
		return err
	}
	slow, err := r.bringSlow(ctx, others, slowOnes)
	if err != nil {
		return err
	}
	lanes = append(lanes, slow)
	if err := r.half(ctx, othersGroup, lanes[0], slow); err != nil {
		return err
	}
	if err := r.testify(ctx, slow); err != nil {
		return err
	}
	return r.bringBack(ctx, slow, slowOnes)
}

// half publishes for the others, and busily on another lane, and enters what
// became of the first.
func (r *run) half(ctx context.Context, name string, l, busy *lane) error {
	if err := r.clear(ctx, l); err != nil {
		return err
	}
	busy.deaf = true
	cpu, own := r.meter.cpu(), r.own.cpu()
	took, sent, err := r.publishAll(ctx, []*lane{l, busy},
		r.pour,
		func(ctx context.Context, l *lane) error { return l.paced(ctx, r.BusyRate, 0, r.Duration) })
	report, failed := r.report(context.WithoutCancel(ctx), othersGroup, l.seq)
	if failed != nil {
		return firstOf(err, failed)
	}
	counts := report.counts()
	counts.Expected, counts.Lost = l.expected, counts.Lost-l.lost
	l.lost += counts.Lost
	r.result.group(name, counts)
	r.result.Counts.add(counts)
	r.closures(report)
	r.result.Published += l.sent - l.cleared
	r.result.DurationS = took.Seconds()
	r.result.PublicationsPerS, r.result.DeliveriesPerS = float64(l.sent-l.cleared)/sent.Seconds(), float64(report.Deliveries)/took.Seconds()
	r.spent(cpu, own, report.Deliveries)
	if err == nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return err
}

// clear has a lane's group count anew.
func (r *run) clear(ctx context.Context, l *lane) error {
	if err := r.fleet.do(receive.Command{Do: "clear", Group: l.group}); err != nil {
		return err
	}
	l.expected, l.cleared = 0, l.sent
	return r.fleet.await(ctx, stuckFor, func() bool { return r.fleet.sum(l.group).Deliveries == 0 })
}

// bringSlow connects the slow ones, and a witness to each gateway, and has the
// slow ones read no more.
func (r *run) bringSlow(ctx context.Context, others, slowOnes int) (*lane, error) {
	g, err := r.group(slowGroup, others+1, 1, r.channels())
	if err != nil {
		return nil, err
	}
	g.Users, g.Positions, g.Device, g.Buffer = others+2, true, true, slowBuffer
	witness := g
	witness.Name, witness.Users, witness.Device, witness.Buffer = witnessGroup, g.Users+slowOnes, false, 0
	for _, o := range []opening{{witness, len(r.URLs), r.fleet.workers[:1]}, {g, slowOnes, r.fleet.workers}} {
		if err := r.fleet.open(o.Group, o.total, o.workers); err != nil {
			return nil, err
		}
		if _, err := r.connect(ctx, o.Name); err != nil {
			return nil, err
		}
	}
	l, err := r.lane(slowGroup, r.BusySize)
	if err != nil {
		return nil, err
	}
	err = l.sentinels(ctx)
	if err == nil {
		err = r.pause(ctx, confirmWithin) // what they have got shall be confirmed
	}
	if err == nil {
		err = r.fleet.do(receive.Command{Do: "stall", Group: slowGroup})
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// testify waits until each gateway has sent all that is busily published: on a
// machine with too much to do that is later than what the others get.
func (r *run) testify(ctx context.Context, l *lane) error {
	all := l.sent * uint64(len(r.URLs))
	err := r.fleet.await(ctx, r.Patience, func() bool {
		p := r.fleet.sum(witnessGroup)
		return p.Deliveries >= all || p.Subscribed < len(r.URLs)
	})
	if errors.Is(err, errStuck) {
		return nil // what is missing is counted with the slow ones
	}
	return err
}

// bringBack has the slow ones read what is left of their connections, and then
// come back, until they have everything or nothing comes any more.
func (r *run) bringBack(ctx context.Context, l *lane, slowOnes int) error {
	f := r.fleet
	if err := f.do(receive.Command{Do: "read", Group: slowGroup}); err != nil {
		return err
	}
	err := f.await(ctx, drainFor, func() bool {
		p := f.sum(slowGroup)
		r.env.Say(fmt.Sprintf("reading what is left for those who never read: %d of %d were closed", p.Closed, slowOnes))
		return p.Closed == slowOnes || p.Deliveries >= l.expected
	})
	if err != nil && !errors.Is(err, errStuck) {
		return err
	}
	first, err := r.report(ctx, slowGroup, l.seq)
	if err != nil {
		return err
	}
	got := &SlowResult{Clients: slowOnes, Reasons: first.closed}
	for _, n := range first.closed {
		got.Closed += n
	}
	if got.Closed > 0 {
		if err := r.returnSlow(ctx, l, slowOnes); err != nil {
			return err
		}
	}
	last, err := r.report(ctx, slowGroup, l.seq)
	if err != nil {
		return err
	}
	got.Complete, got.BackDuplicated = last.Whole, last.Duplicated-first.Duplicated
	if before := r.result.Groups["before"].Latency.P99; before > 0 {
		got.P99Ratio = r.result.Groups[othersGroup].Latency.P99 / before
	}
	r.result.Slow = got
	counts := last.counts()
	r.result.group(slowGroup, counts)
	if r.Dialect == "messagechannel" {
		counts.Duplicated -= got.BackDuplicated // its clients can't say what they have: that is allowed
	}
	counts.Latency = Latency{} // that is how long they slept
	r.result.Counts.add(counts)
	r.result.Published += l.sent
	r.result.Resets += last.Resets
	return nil
}

// returnSlow connects the slow ones that were closed, and waits until they have
// everything.
func (r *run) returnSlow(ctx context.Context, l *lane, slowOnes int) error {
	f := r.fleet
	if err := f.do(receive.Command{Do: "connect", Group: slowGroup}); err != nil {
		return err
	}
	err := f.await(ctx, r.Patience, func() bool {
		p := f.sum(slowGroup)
		r.env.Say(fmt.Sprintf("%d of %d of those who never read are back", p.Subscribed, slowOnes))
		return p.Failed > 0 || p.Subscribed == slowOnes && p.Deliveries >= l.expected
	})
	switch {
	case f.sum(slowGroup).Failed > 0:
		return r.gone(ctx, slowGroup)
	case errors.Is(err, errStuck):
		return nil // what is missing is counted
	case err != nil:
		return err
	}
	return r.pause(ctx, lingering)
}
