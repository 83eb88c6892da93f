package ops

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"belfry/internal/access"
)

// A Board has the handlers of both ports.
type Board struct {
	health      func() Health
	metrics     http.Handler
	guard       access.Guard
	metricsOpen atomic.Bool
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

// SetAccess says who may see what, from now on, as access.Guard.Set does.
// Metrics need no key where they are open.
func (b *Board) SetAccess(loopback bool, key string, metricsOpen bool) {
	b.metricsOpen.Store(metricsOpen)
	b.guard.Set(loopback, key)
}

// Guard is what stands before all on the internal port that needs the key.
func (b *Board) Guard() *access.Guard { return &b.guard }

// Public adds the public port's handlers to a mux.
func (b *Board) Public(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", readyWord(b.health))
}

// Internal adds the internal port's handlers to a mux.
func (b *Board) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", details(b.health, func(Health) int { return http.StatusOK }))
	mux.HandleFunc("GET /readyz", details(b.health, Health.status))
	mux.Handle("GET /metrics", b.guard.WrapUnless(b.metrics, "metrics.open", b.metricsOpen.Load))

	profile := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, b.guard.Wrap(h))
	}
	profile("GET /debug/pprof/", pprof.Index)
	profile("GET /debug/pprof/block", blocked.serve)
	profile("GET /debug/pprof/mutex", contended.serve)
	profile("GET /debug/pprof/cmdline", pprof.Cmdline)
	profile("GET /debug/pprof/profile", pprof.Profile)
	profile("GET /debug/pprof/symbol", pprof.Symbol)
	profile("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof posts to it
	profile("GET /debug/pprof/trace", pprof.Trace)
}
