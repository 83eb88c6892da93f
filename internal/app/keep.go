package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belfry/internal/bus"
	"belfry/internal/ops"
)

const (
	// keepEvery is how often a gateway looks at what it needs of NATS: the streams,
	// and that they take what is published.
	keepEvery = 5 * time.Second
	// remakeAfter is how long a stream must be missing before it is made anew: who
	// puts a copy in its place deletes it first.
	remakeAfter = 4 * time.Second
	// firstReopen and lastReopen are the pauses after an embedded server was started
	// again because it could not write: where it can't again, they double, until it
	// has been well for as long as the last one.
	firstReopen = 5 * time.Second
	lastReopen  = 5 * time.Minute
)

// A keeper looks after what a running gateway needs of NATS, and mends it where
// it may. Only its own goroutine uses it.
type keeper struct {
	a      *App
	r      *rooms
	told   harm          // the last one
	gone   time.Time     // since when a stream has been missing
	doubt  bool          // the last probe was not acknowledged
	pause  time.Duration // after the next reopening
	reopen time.Time     // not before
}

func newKeeper(a *App, r *rooms) *keeper { return &keeper{a: a, r: r, pause: firstReopen} }

// run looks until ctx ends.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look looks once, and says what it found.
func (k *keeper) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	if err := k.r.bus.StoreError(); err != nil {
		k.mend(err)
		return
	}
	if _, away := k.r.bus.Away(); away {
		return // which readiness sees by itself
	}
	found, ok := k.streams(ctx)
	// An embedded server says by itself what it could not write; that it can again
	// is seen by writing.
	if ok && found.state == "" && (!k.r.bus.Embedded() || k.told.state == ops.NotStoring) {
		found, ok = k.probe(ctx)
	}
	if ok && ctx.Err() == nil {
		k.tell(found)
	}
}

// tell has /readyz say it, and logs it where it has changed.
func (k *keeper) tell(now harm) {
	switch {
	case now == k.told:
	case now.state == "":
		k.a.log.Info("ready again", "after", k.told.state)
	default:
		k.a.log.Error("not ready", "state", now.state, "err", now.why)
	}
	k.told = now
	k.a.ready.suffer(now)
}

// mend opens a store anew that could not be written.
func (k *keeper) mend(failed error) {
	if time.Now().Before(k.reopen) {
		k.tell(harm{ops.NotStoring, notStoring(failed, "the embedded NATS was started again for this, and has failed again: free more space; it is tried again within minutes, or restart the gateway")})
		return
	}
	remedy := "free space on the disk: the embedded NATS is started again by itself then"
	if err := k.r.bus.HasRoom(); err != nil {
		k.tell(harm{ops.NotStoring, notStoring(fmt.Errorf("%w; there is still no room: %w", failed, err), remedy)})
		return
	}
	k.tell(harm{ops.NotStoring, notStoring(failed, "the disk has room: the embedded NATS is being started again")})
	if err := k.r.bus.Reopen(); err != nil {
		k.tell(harm{ops.NotStoring, notStoring(fmt.Errorf("%w; it could not be started again, which is tried on: %w", failed, err), remedy)})
		return
	}
	k.a.log.Warn("the embedded NATS was started again: what was acknowledged is there, what was not must be published again")
	if time.Since(k.reopen) > lastReopen {
		k.pause = firstReopen
	}
	k.reopen = time.Now().Add(k.pause)
	k.pause = min(2*k.pause, lastReopen)
	k.tell(harm{ops.NotStoring, notStoring(failed, "the embedded NATS was started again, and is tried: a moment")})
}

func notStoring(err error, remedy string) string {
	return fmt.Sprintf("not all that is published is stored: %v: %s", err, remedy)
}

// probe finds out whether a NATS elsewhere stores what it is given, or the one
// inside again. Once may be an election.
func (k *keeper) probe(ctx context.Context) (found harm, ok bool) {
	err := k.r.journal.Probe(ctx, k.r.bus.Embedded())
	failed := errors.Is(err, bus.ErrNotStoring)
	doubted := k.doubt
	k.doubt = failed
	switch {
	case err != nil && !failed, failed && !doubted:
		return harm{}, false
	case failed:
		return harm{ops.NotStoring, notStoring(err, "look into the log of nats-server; where its disk was full, free space and restart it: it refuses to write until then")}, true
	}
	return harm{}, true
}

// streams finds out whether the streams are there, and has them made anew where
// stream.manage allows. It is not ok where NATS could not be asked.
func (k *keeper) streams(ctx context.Context) (found harm, ok bool) {
	missing, err := k.r.bus.Missing(ctx)
	if err != nil {
		k.gone = time.Time{} // what it was before says nothing about what it is since
		if errors.Is(err, bus.ErrRestoring) {
			return harm{ops.StreamMissing, err.Error()}, true
		}
		return harm{}, false
	}
	if len(missing) == 0 {
		k.gone = time.Time{}
		return harm{}, true
	}
	names := strings.Join(missing, ", ")
	if k.gone.IsZero() {
		k.gone = time.Now()
	}
	manage := k.a.options.Load().Stream.Manage
	if manage == "never" {
		return harm{ops.StreamMissing, fmt.Sprintf("deleted: %s, and stream.manage is never: make it anew as it was, or restart the gateway with stream.manage: create", names)}, true
	}
	if slices.ContainsFunc(missing, k.r.bus.Restoring) {
		k.gone = time.Now()
		return harm{ops.StreamMissing, fmt.Sprintf("deleted: %s: a copy is being restored", names)}, true
	}
	if time.Since(k.gone) < remakeAfter {
		return harm{ops.StreamMissing, fmt.Sprintf("deleted: %s: it is made anew within seconds (stream.manage: %s)", names, manage)}, true
	}
	if err := k.remake(ctx); err != nil {
		return harm{ops.StreamMissing, fmt.Sprintf("deleted: %s, and could not be made anew: %v", names, err)}, true
	}
	k.a.log.Warn("a stream was deleted and has been made anew: what it had is lost, and clients with a position in it are told to reset", "stream", names)
	k.gone = time.Time{}
	return harm{}, true
}

func (k *keeper) remake(ctx context.Context) error {
	if err := k.r.bus.EnsureStreams(ctx); err != nil {
		return err
	}
	return k.r.journal.EnsureBucket(ctx)
}
