package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"belfry/internal/load/payload"
	"belfry/internal/load/receive"
)

// A lane is what is published for one group: on each of its indexes in turn, in
// a shuffled order that the seed settles.
type lane struct {
	run      *run
	group    string
	base     int
	subjects []string // by index, from base on
	order    []int
	seq      []uint64 // the last on each
	sent     uint64   // publications
	each     []uint64 // connections on each
	expected uint64   // deliveries, since it began or was cleared
	cleared  uint64   // publications before that
	lost     uint64   // and what was lost of them
	deaf     bool     // nobody reads what is published
	*publisher
}

// lane makes one for a group that is open.
func (r *run) lane(group string, size int) (*lane, error) {
	g := r.fleet.group(group)
	l := &lane{run: r, group: group, base: g.Base, seq: make([]uint64, g.Mod), each: make([]uint64, g.Mod)}
	for k := range g.total {
		l.each[k%g.Mod]++
	}
	seed, _ := strconv.ParseUint(r.Seed, 16, 64) // it was checked
	l.order = rand.New(rand.NewPCG(seed, uint64(g.Base))).Perm(g.Mod)
	for i := range g.Mod {
		s, err := r.subject(g.Base+i, g.Channels)
		if err != nil {
			return nil, fmt.Errorf("the subject of %s: %w", r.name(g.Base+i, g.Channels), err)
		}
		l.subjects = append(l.subjects, s)
	}
	var err error
	l.publisher, err = newPublisher(r.env.NATS, r.Seed, size, r.Publish == "durable")
	return l, err
}

const (
	sentinelEvery  = time.Second
	sentinelWithin = 30 * time.Second
)

// sentinels publishes until every connection has got one.
func (l *lane) sentinels(ctx context.Context) error {
	f := l.run.fleet
	total := f.group(l.group).total
	all := func() bool {
		p := f.sum(l.group)
		l.run.env.Say(fmt.Sprintf("%d of %d connections have got a first message", p.Sentinels, total))
		return p.Sentinels >= total
	}
	indexes := make([]int, len(l.subjects))
	for i := range indexes {
		indexes[i] = l.base + i
	}
	for began := time.Now(); time.Since(began) < sentinelWithin; {
		for _, index := range indexes {
			if err := l.publish(ctx, l.subjects[index-l.base], payload.Message{Index: uint64(index), At: l.run.clock.Now()}); err != nil {
				return err
			}
		}
		if err := l.settle(ctx); err != nil {
			return err
		}
		err := f.await(ctx, sentinelEvery, all)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errStuck) {
			return err
		}
		if p := f.sum(l.group); p.Subscribed < total {
			return l.run.gone(ctx, l.group)
		}
		indexes = nil
		if err := f.ask(ctx, receive.Command{Do: "waiting", Group: l.group}, func(e receive.Event) error {
			if e.Waiting != nil {
				indexes = append(indexes, e.Waiting.Indexes...)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d of %d connections got no message within %v: do they and the publisher reach the same NATS (--nats), with the same --prefix, and is --publish %s what the server listens to?",
		total-f.sum(l.group).Sentinels, total, sentinelWithin, l.run.Publish)
}

// gone says why connections are.
func (r *run) gone(ctx context.Context, group string) error {
	total := r.fleet.group(group).total
	report, err := r.report(ctx, group, nil)
	if err != nil {
		return err
	}
	return fmt.Errorf("%d of %d connections were closed: %s", total-r.fleet.sum(group).Subscribed, total, reasons(report.closed, report.failures))
}

// next publishes on the next index. at is the time that the payload carries.
func (l *lane) next(ctx context.Context, at int64) error {
	i := l.order[l.sent%uint64(len(l.order))]
	if err := l.publish(ctx, l.subjects[i], payload.Message{Index: uint64(l.base + i), Seq: l.seq[i] + 1, At: at}); err != nil {
		return err
	}
	l.seq[i]++
	l.sent++
	l.expected += l.each[i]
	return nil
}

// flatOut publishes as fast as those who receive let it, for a time or so many
// messages; 0 is no such end. It stops as well when ctx ends, and when nobody
// receives anything any more.
func (l *lane) flatOut(ctx context.Context, messages int, duration time.Duration) error {
	until := time.Now().Add(duration)
	f, window := l.run.fleet, uint64(l.run.InFlight)
	start, complete := l.sent, uint64(0)
	for messages == 0 || l.sent-start < uint64(messages) {
		if l.sent-start-complete >= window {
			if err := l.flush(); err != nil {
				return ended(ctx, err)
			}
			err := f.await(ctx, l.run.Patience, func() bool {
				complete = f.sum(l.group).Complete
				return l.sent-start-complete < window
			})
			if errors.Is(err, errStuck) || ctx.Err() != nil {
				return nil // what is missing is counted
			}
			if err != nil {
				return err
			}
		}
		if duration > 0 && l.sent%64 == 0 && time.Now().After(until) {
			break
		}
		if err := l.next(ctx, l.run.clock.Now()); err != nil {
			return ended(ctx, err)
		}
	}
	return ended(ctx, l.flush())
}

// ended is an error, unless it is because ctx ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tick is the time between two bursts at a high rate: shorter ones would cost
// more in waking up than in publishing.
const tick = 500 * time.Microsecond

// paced publishes at a rate, in publications a second, for a time or so many
// messages; 0 is no such end. What is due is not put off by what is late, and
// carries the time at which it was due.
func (l *lane) paced(ctx context.Context, rate float64, messages int, duration time.Duration) error {
	alarm, err := payload.NewAlarm(l.run.clock)
	if err != nil {
		return err
	}
	defer alarm.Close()
	start, began := l.sent, l.run.clock.Now()
	end := int64(1<<63 - 1)
	if duration > 0 {
		end = began + int64(duration)
	}
	last := began - 1 // what was due before
	for n := uint64(0); messages == 0 || n < uint64(messages); n = l.sent - start {
		due := began + int64(float64(n)/rate*1e9)
		if rate > float64(time.Second/tick) {
			due -= (due - began) % int64(tick) // the burst's
		}
		if due >= end {
			break
		}
		if due > last {
			if l.run.clock.Now() < due { // what is late goes out together
				if err := l.flush(); err != nil {
					return ended(ctx, err)
				}
			}
			if !alarm.SleepUntil(ctx, due) {
				break
			}
			last = due
		}
		if err := l.next(ctx, due); err != nil {
			return ended(ctx, err)
		}
	}
	return ended(ctx, l.flush())
}

// arrive waits until everything has arrived, or nothing does any more.
func (l *lane) arrive(ctx context.Context) error {
	if err := l.settle(ctx); err != nil {
		return ended(ctx, err)
	}
	if l.deaf {
		return nil
	}
	err := l.run.fleet.await(ctx, l.run.Patience, func() bool {
		p := l.run.fleet.sum(l.group)
		return p.Deliveries >= l.expected || p.Subscribed == 0
	})
	if errors.Is(err, errStuck) {
		return nil // what is missing is counted
	}
	return ended(ctx, err)
}
