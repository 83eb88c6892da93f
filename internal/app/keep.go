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
)

// A keeper looks after what a running gateway needs of NATS, and mends it where
// it may. Only its own goroutine uses it.
type keeper struct {
	a *App
	r *rooms
	mender
	told  harm      // the last one
	gone  time.Time // since when a stream has been missing
	doubt bool      // the last probe was not acknowledged
}

func newKeeper(a *App, r *rooms) *keeper { return &keeper{a: a, r: r, mender: newMender(r)} }

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
	if err := k.r.bus.StoreError(); err != nil {
		if k.mend(ctx, err, k.tell) {
			k.a.log.Warn("the embedded NATS was started again: what was acknowledged is there, what was not must be published again")
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	if _, away := k.r.bus.Away(); away {
		return // which readiness sees by itself
	}
	found, ok := k.streams(ctx)
	if ok && found.state == "" {
		if k.r.bus.Embedded() {
			found = k.prove(ctx)
		} else {
			found, ok = k.ask(ctx)
		}
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

// ask finds out whether a NATS elsewhere stores what it is given. Once may be an
// election.
func (k *keeper) ask(ctx context.Context) (found harm, ok bool) {
	err := k.probe(ctx)
	failed := errors.Is(err, bus.ErrNotStoring)
	doubted := k.doubt
	k.doubt = failed
	switch {
	case err != nil && !failed, failed && !doubted:
		return harm{}, false
	case failed:
		if denied := k.r.bus.Denied("$KV." + k.r.bus.Names().Cursors() + "."); denied != nil {
			return harm{ops.NotStoring, fmt.Sprintf("delivered cursors are not stored: %v", denied)}, true
		}
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
