package app

import (
	"context"
	"time"

	"belfry/internal/reason"
)

// Drain has the clients leave in good order: /readyz says draining at once;
// for drain_delay, until load balancers have seen it, clients are still let in;
// then the public port is closed, and every connection, over `drain`, in the way
// that has its client come back. It returns when no connection is left, or, with
// connections left, when ctx ends. Stop is still to be called.
//
// A gateway that was never ready waits for nothing: nobody was sent to it.
func (a *App) Drain(ctx context.Context) {
	o := a.options.Load()
	a.ready.set(leaving, "the gateway was told to stop") // it won't get ready any more
	r := a.rooms.Load()
	if r == nil || !a.ready.ran() {
		return
	}
	began, had := time.Now(), a.connected()
	a.log.Info("draining", "connections", had, "delay", o.DrainDelay, "over", o.Drain)
	if a.ready.gate() == reason.None { // not a second time
		delay(ctx, o.DrainDelay)
	}
	a.ready.set(departing, "the gateway is stopping")
	a.public.deaf()

	gone := make(chan struct{})
	go func() {
		r.transport.Drain(o.Drain)
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	a.log.Info("drained", "had", had, "left", a.connected(), "after", time.Since(began).Round(time.Millisecond))
}

// delay waits for d or for ctx.
func delay(ctx context.Context, d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-over.C:
	}
}
