package app

import (
	"runtime"
	"runtime/debug"
	"sync"

	"belfry/internal/ops"
)

// health is what /healthz and /readyz tell.
func (a *App) health() ops.Health {
	h := ops.Health{
		Version:   build().Version,
		Started:   a.started,
		Durable:   a.options.Load().Durable,
		Streams:   []ops.Stored{},
		Connected: a.connected(),
	}
	r := a.rooms.Load()
	if r == nil { // NATS is being started: a large store takes its time
		h.State, h.Reason = ops.Starting, "NATS is being started"
		return h
	}
	since, away := r.bus.Away()
	h.State, h.Reason = a.ready.state(since, away)
	h.NATS = ops.NATS{URL: r.bus.URL(), Embedded: r.bus.Embedded(), Connected: !away}
	if away {
		h.NATS.AwaySince = &since
	}
	if r.journal == nil {
		return h
	}
	for _, st := range r.journal.Stats().Streams {
		stored := ops.Stored{Name: st.Name, Watermark: st.Watermark, Lag: st.Lag, MaxAge: a.options.Load().Stream.MaxAge.String()}
		if !st.Oldest.IsZero() {
			stored.Oldest = &st.Oldest
		}
		h.Streams = append(h.Streams, stored)
	}
	return h
}

// build is what is running, as the compiler stamped it.
var build = sync.OnceValue(func() ops.Build {
	b := ops.Build{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
})
