package app

import (
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/ops"
	"belfry/internal/reason"
)

// natsGrace is how long NATS may be away before the gateway counts as not
// ready: longer than an election, which must not empty the load balancer.
const natsGrace = 10 * time.Second

// A phase is how far a gateway is in its life. Phases only go forward.
type phase uint8

const (
	starting  phase = iota
	doomed          // something that waiting does not mend keeps it from getting ready
	running         // it has been ready
	leaving         // it was told to stop, and still takes connections
	departing       // it takes no more
	stopped
)

// readiness is what /readyz says and whether a client is let in.
type readiness struct {
	first chan struct{} // closed by the first running
	grace atomic.Int64  // natsGrace; a test's is shorter

	mu    sync.Mutex // guards the following
	phase phase
	why   string // a sentence: what is waited for, what is wrong
	harm  harm   // while running
}

// harm is what a running gateway finds to be wrong with what it needs of NATS;
// the zero value is nothing.
type harm struct {
	state ops.State
	why   string // a sentence that says what to do
}

func newReadiness() *readiness {
	r := &readiness{first: make(chan struct{}), why: "it has just been started"}
	r.grace.Store(int64(natsGrace))
	return r
}

// set goes forward to a phase, or, where it is the present one, changes what is
// said about it.
func (r *readiness) set(to phase, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forward(to, why)
}

// run goes forward to running if announce, which tells clients where to come,
// succeeds: who comes at once waits until they are let in.
func (r *readiness) run(announce func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := announce(); err != nil {
		return err
	}
	r.forward(running, "")
	return nil
}

func (r *readiness) forward(to phase, why string) {
	if to < r.phase {
		return
	}
	if to == running && r.phase < running {
		close(r.first)
	}
	r.phase, r.why = to, why
}

// ran says that it has been ready.
func (r *readiness) ran() bool {
	select {
	case <-r.first:
		return true
	default:
		return false
	}
}

// suffer sets what is wrong.
func (r *readiness) suffer(h harm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.harm = h
}

// state is the word and the sentence for /readyz, given since when NATS is away.
func (r *readiness) state(since time.Time, away bool) (ops.State, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.phase {
	case starting:
		return ops.Starting, r.why
	case doomed:
		return ops.Misconfigured, r.why
	case running:
		if gone := time.Since(since); away && gone >= time.Duration(r.grace.Load()) {
			return ops.NATSAway, "NATS has been away for " + gone.Round(time.Second).String()
		}
		if r.harm.state != "" {
			return r.harm.state, r.harm.why
		}
		return ops.Ready, ""
	}
	return ops.Draining, r.why
}

// gate is why no handshake is taken now, None where it is. NATS being away is
// no reason: clients that are let in wait here as well as elsewhere.
func (r *readiness) gate() reason.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.phase {
	case starting, doomed:
		return reason.NotReady
	case running, leaving:
		if r.ran() {
			return reason.None
		}
	}
	return reason.Drain
}
