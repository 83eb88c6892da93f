package load

import (
	"context"

	"belfry/internal/load/receive"
)

const (
	broadcastGroup = "broadcast"
	singleGroup    = "single"
)

// mixed measures single messages while a broadcast goes to many. Those who get
// single messages are received by a process of their own, which has nothing to
// do with the broadcast: what is late there is late by the gateway.
func (r *run) mixed(ctx context.Context) error {
	broadcast, err := r.group(broadcastGroup, 0, 1, r.channels())
	if err != nil {
		return err
	}
	single, err := r.group(singleGroup, 1, r.Users, false)
	if err != nil {
		return err
	}
	broadcast.Users = 1 + r.Users // behind those of the single messages
	last := len(r.fleet.workers) - 1
	lanes, err := r.prepare(ctx,
		opening{broadcast, r.Connections, r.fleet.workers[:last]},
		opening{single, r.Users, r.fleet.workers[last:]})
	if err != nil {
		return err
	}
	defer closeLanes(lanes)
	return r.measure(ctx, lanes,
		func(ctx context.Context, l *lane) error { return l.paced(ctx, r.BroadcastRate, 0, r.Duration) },
		r.pour)
}

// An opening is a group to be opened.
type opening struct {
	receive.Group
	total   int
	workers []*worker
}

// prepare opens groups, connects them, and sees to it that all are subscribed.
func (r *run) prepare(ctx context.Context, groups ...opening) (lanes []*lane, err error) {
	conns := 0
	for _, g := range groups {
		if err := r.fleet.open(g.Group, g.total, g.workers); err != nil {
			return nil, err
		}
		got, err := r.connect(ctx, g.Name)
		if err != nil {
			return nil, err
		}
		if conns == 0 {
			r.connected(got)
		}
		conns += g.total
	}
	defer func() {
		if err != nil {
			closeLanes(lanes)
		}
	}()
	for _, g := range groups {
		l, err := r.lane(g.Name, r.Size)
		if err != nil {
			return lanes, err
		}
		lanes = append(lanes, l)
		if err := l.sentinels(ctx); err != nil {
			return lanes, err
		}
	}
	r.memory(conns)
	return lanes, nil
}

func closeLanes(lanes []*lane) {
	for _, l := range lanes {
		l.close()
	}
}
