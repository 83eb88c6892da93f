package app

import (
	"belfry/internal/auth"
	"belfry/internal/config"
	"belfry/internal/dialect/messagechannel"
	"belfry/internal/live"
	"belfry/internal/ops"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// snapshot reads everything that /metrics reports. Whatever label value can
// occur is there, if only with 0, also before NATS has been started.
func (a *App) snapshot() ops.Snapshot {
	o := a.options.Load()
	s := ops.Snapshot{
		Connections:     map[string]int{messagechannel.Name: 0},
		Authentications: map[string]uint64{},
		Publications:    map[string]uint64{live.Notification: 0, live.Legacy: 0},
		Deliveries:      map[string]uint64{messagechannel.Name: 0},
		Limit:           a.limit(),
		Durable:         o.Durable,
	}
	for i := range a.refusals {
		s.Refusals[reason.Reason(i)] = a.refusals[i].Load()
	}
	var asked [auth.Outcomes]uint64
	if r := a.rooms.Load(); r != nil {
		r.fill(&s)
		asked = r.auth.Counts()
		since, away := r.bus.Away()
		state, _ := a.ready.state(since, away)
		s.NATSConnected, s.Ready = !away, state == ops.Ready
	}
	for outcome, n := range asked {
		s.Authentications[auth.Outcome(outcome).String()] = n
	}
	return s
}

func (r *rooms) fill(s *ops.Snapshot) {
	wire := r.transport.Stats()
	for dialect, n := range wire.Connections {
		s.Connections[dialect] = n
	}
	s.QueueBytes, s.Closes = wire.QueueBytes, wire.Closes

	table := r.hub.Stats()
	s.Channels, s.Subscriptions = table.Channels, table.Subscriptions
	for dialect, n := range table.Deliveries {
		s.Deliveries[dialect] = n
	}

	feed := r.live.Stats()
	for source, n := range feed.Publications {
		s.Publications[source] = n
	}
	s.Misspelled, s.Dropped = feed.Misspelled, feed.Dropped
	s.AuthUnderWay, s.AuthWaiting = r.auth.Load()
}

// limit is how many connections there may be.
func (a *App) limit() int { return limitOf(a.options.Load()) }

func limitOf(o *config.Options) int {
	if o.Limits.Connections > 0 {
		return o.Limits.Connections
	}
	return transport.DefaultConnections()
}

// connected is how many connections there are.
func (a *App) connected() int {
	r := a.rooms.Load()
	if r == nil {
		return 0
	}
	n := 0
	for _, open := range r.transport.Stats().Connections {
		n += open
	}
	return n
}
