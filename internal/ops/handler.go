package ops

import (
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Board has the handlers of both ports.
type Board struct {
	health  func() Health
	metrics http.Handler
	guard   guard
}

// New makes a board. read and health are called for each request that needs
// them, from several goroutines. Build's labels never change.
func New(b Build, read func() Snapshot, health func() Health, log *slog.Logger) *Board {
	return &Board{
		health: health,
		metrics: promhttp.HandlerFor(registry(b, read), promhttp.HandlerOpts{
			ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
			ErrorHandling: promhttp.ContinueOnError,
		}),
	}
}

// SetAccess says who may see what, from now on. loopback is whether the
// internal port listens on a loopback address: there nothing needs a key that
// is asked for at an IP address or localhost. Elsewhere profiles need the key, and metrics too unless they are open; an
// empty key opens nothing.
func (b *Board) SetAccess(loopback bool, key string, metricsOpen bool) {
	b.guard.now.Store(&access{loopback: loopback, key: key, metricsOpen: metricsOpen})
}

// Public adds the public port's handlers to a mux.
func (b *Board) Public(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", readyWord(b.health))
}

// Internal adds the internal port's handlers to a mux.
func (b *Board) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", details(b.health, func(Health) int { return http.StatusOK }))
	mux.HandleFunc("GET /readyz", details(b.health, Health.status))
	mux.Handle("GET /metrics", b.guard.wrap(b.metrics, "metrics.open", func(a *access) bool { return a.metricsOpen }))

	profile := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, b.guard.wrap(h, "", func(*access) bool { return false }))
	}
	profile("GET /debug/pprof/", pprof.Index)
	profile("GET /debug/pprof/cmdline", pprof.Cmdline)
	profile("GET /debug/pprof/profile", pprof.Profile)
	profile("GET /debug/pprof/symbol", pprof.Symbol)
	profile("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof posts to it
	profile("GET /debug/pprof/trace", pprof.Trace)
}
