package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belfry/internal/bus"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
	// tryFor bounds one look at the streams.
	tryFor = 15 * time.Second
)

// becomeReady does what readiness needs, again and again until it succeeds,
// until it finds that it never will, or until ctx ends. It returns whether it did.
func (a *App) becomeReady(ctx context.Context, r *rooms) bool {
	back := make(chan struct{}, 1)
	r.bus.OnReconnect(func() {
		select {
		case back <- struct{}{}:
		default:
		}
	})
	logged := ""
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := a.tryReady(ctx, r)
		if err == nil || ctx.Err() != nil {
			return err == nil
		}
		if errors.Is(err, bus.ErrMisconfigured) {
			a.doom(err)
			return false
		}
		a.ready.set(starting, err.Error())
		if text := err.Error(); text != logged {
			logged = text
			a.log.Warn("not ready yet, trying on", "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-back:
			wait = firstRetry
		case <-time.After(wait):
		}
	}
}

// tryReady makes the gateway ready, or says why it can't.
func (a *App) tryReady(ctx context.Context, r *rooms) error {
	try, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	if err := r.bus.EnsureStreams(try); err != nil {
		return err
	}
	if err := r.follow(try); err != nil {
		return err
	}
	// The subscription, and who listens for authentication in a demo, are in
	// force when the server has answered what was sent behind them.
	if err := r.bus.Conn().FlushWithContext(try); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := a.ready.run(func() error { return writeAddresses(a.options.Load().Data, a.Addresses()) }); err != nil {
		return err
	}
	a.log.Info("ready", "after", time.Since(a.started).Round(time.Millisecond))
	return nil
}
