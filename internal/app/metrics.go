package app

import (
	"time"

	"belfry/internal/auth"
	"belfry/internal/config"
	"belfry/internal/dialect/eventsource"
	"belfry/internal/dialect/messagechannel"
	"belfry/internal/hub"
	"belfry/internal/live"
	"belfry/internal/ops"
	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// snapshot reads everything that /metrics reports. Whatever label value can
// occur is there, if only with 0, also before NATS has been started.
func (a *App) snapshot() ops.Snapshot {
	o := a.options.Load()
	s := ops.Snapshot{
		Connections:     map[string]int{messagechannel.Name: 0, eventsource.Name: 0},
		Authentications: map[string]uint64{},
		Publications:    map[string]uint64{live.Notification: 0, live.Channel: 0, live.Live: 0, live.Legacy: 0},
		Deliveries:      map[string]uint64{messagechannel.Name: 0, eventsource.Name: 0},
		Authorizations:  map[string]uint64{},
		Resets:          map[string]uint64{},
		Streams:         map[string]ops.Stream{},
		Limit:           a.limit(),
		Durable:         o.Durable,
	}
	if o.Durable {
		for _, stream := range position.All() {
			s.Streams[stream.String()] = ops.Stream{}
		}
	}
	for i := range a.refusals {
		s.Refusals[reason.Reason(i)] = a.refusals[i].Load()
	}
	var asked, authorized [auth.Outcomes]uint64
	for _, why := range hub.ResetReasons() {
		s.Resets[string(why)] = 0
	}
	if r := a.rooms.Load(); r != nil {
		r.fill(&s)
		asked, authorized = r.auth.Counts(), r.authorize.Counts()
		since, away := r.bus.Away()
		state, _ := a.ready.state(since, away)
		s.NATSConnected, s.Ready = !away, state == ops.Ready
		s.Missing, s.NotStoring = state == ops.StreamMissing, state == ops.NotStoring
	}
	for outcome, n := range asked {
		s.Authentications[auth.Outcome(outcome).String()] = n
		s.Authorizations[auth.Outcome(outcome).String()] = authorized[outcome]
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

	s.Pending, s.Passes, s.Writes = table.Pending, table.Passes, table.Writes
	s.CatchingUp, s.FromRing, s.FromStream = table.CatchingUp, table.FromRing, table.FromStream
	for why, n := range table.Resets {
		s.Resets[string(why)] = n
	}

	feed := r.live.Stats()
	for source, n := range feed.Publications {
		s.Publications[source] = n
	}
	s.Misspelled, s.Dropped = feed.Misspelled, feed.Dropped
	s.AuthUnderWay, s.AuthWaiting = r.auth.Load()
	s.AuthTook = r.auth.Took()
	if r.journal != nil {
		r.fillJournal(s)
	}
}

func (r *rooms) fillJournal(s *ops.Snapshot) {
	stats := r.journal.Stats()
	s.DeepWaiting = stats.Deep
	s.CursorsDirty, s.CursorWrites, s.CursorFailures = stats.Cursors.Dirty, stats.Cursors.Writes, stats.Cursors.Failures
	s.CursorLag = stats.Cursors.Oldest.Seconds()
	s.TicketsTaken = stats.Cursors.TicketsTaken
	for _, st := range stats.Streams {
		source := live.Notification
		if st.Stream == position.Channels {
			source = live.Channel
		}
		s.Publications[source] += st.Publications
		s.Misspelled += st.Misspelled
		figures := ops.Stream{Watermark: st.Watermark, Lag: st.Lag, RingEntries: st.RingEntries, RingBytes: st.RingBytes, Resets: st.Resets, Handover: st.Handover}
		if !st.Oldest.IsZero() {
			figures.OldestAge = time.Since(st.Oldest).Seconds()
		}
		s.Streams[st.Stream.String()] = figures
	}
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
	if a.transport == nil {
		return 0
	}
	return a.transport.Open()
}
