package app

import (
	"context"
	"time"
)

// Drain has the clients leave in good order: /readyz says draining at once;
// for drain_delay, until load balancers have seen it, clients are still let in;
// then the public port is closed, and every connection, over `drain`, with code
// 1012. It returns when no connection is left, or, with connections left, when
// ctx ends. Stop is still to be called.
//
// Where there is no connection nothing is waited for.
func (a *App) Drain(ctx context.Context) {
	o := a.options.Load()
	a.ready.set(leaving, "the gateway was told to stop")
	r := a.rooms.Load()
	if r == nil {
		return
	}
	began, had := time.Now(), a.connected()
	a.log.Info("draining", "connections", had, "delay", o.DrainDelay, "over", o.Drain)
	a.delay(ctx, o.DrainDelay)
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

// delay waits for d, for the last connection to go, or for ctx.
func (a *App) delay(ctx context.Context, d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for a.connected() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-look.C:
		}
	}
}
