// Package app wires a gateway together and is the way in for cmd/belfry and for
// tests: New, Start, Reload, Drain, Stop. It has no logic of its own beyond who
// is started when, when the gateway counts as ready, and who is let in.
//
// Goroutines: one for each port's acceptor, one for the HTTP server behind the
// public one's door, one that makes the gateway ready and then looks after what
// it needs of NATS, one that waits for NATS to be lost for good; all else belongs
// to the rooms.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/config"
	"belfry/internal/ops"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// An App is one gateway. Start is called once, and returns before anything else
// but Ready and Err is called; after that every method may be called from any
// goroutine.
type App struct {
	log     *slog.Logger
	options atomic.Pointer[config.Options] // Reload replaces it
	started time.Time
	cert    *certificate // nil without public.tls

	ready    *readiness
	board    *ops.Board
	refusals [reason.Count]atomic.Uint64
	rooms    atomic.Pointer[rooms] // nil until NATS has been started
	// transport is there from the start: its door answers while NATS is started.
	transport *transport.Server
	public    *port
	internal  *port
	errs      chan error

	cancel     context.CancelFunc // ends the background
	background sync.WaitGroup

	stopping sync.Once
	stopErr  error
}

// New makes a gateway of options that config has found to be right. Nothing is
// started, and nothing on disk or network is touched but the certificate's
// files.
func New(o config.Options, log *slog.Logger) (*App, error) {
	a := &App{log: log, started: time.Now(), ready: newReadiness(), errs: make(chan error, 1), cancel: func() {}}
	if o.Public.TLS.Cert != "" {
		cert, err := loadCertificate(o.Public.TLS)
		if err != nil {
			return nil, err
		}
		a.cert = cert
	}
	o.Data = absolute(o.Data)
	a.options.Store(&o)
	a.board = ops.New(build(), a.snapshot, a.health, log)
	return a, nil
}

// Start listens on both ports, starts NATS or begins to connect to it, and
// returns. From then on both ports answer; Ready tells when clients are let in,
// Err what keeps that from happening for good. Where Start fails everything
// that it began is ended.
//
// With an embedded NATS it takes as long as the store's recovery. ctx ends
// only Start itself.
func (a *App) Start(ctx context.Context) error {
	if err := a.start(ctx); err != nil {
		a.cancel()
		return errors.Join(err, a.Stop())
	}
	return nil
}

func (a *App) start(ctx context.Context) error {
	o := a.options.Load()
	if err := a.listen(o); err != nil {
		return err
	}
	r, err := openRooms(*o, a.transport, a.log)
	if err != nil {
		return err
	}
	a.rooms.Store(r)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting: %w", context.Cause(ctx))
	}
	if err := forgetAddresses(o.Data); err != nil { // left by a gateway that was killed
		return err
	}
	a.announce(r)

	inside, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.background.Go(func() {
		if a.becomeReady(inside, r) && r.durable {
			newKeeper(a, r).run(inside)
		}
	})
	a.background.Go(func() {
		select {
		case err := <-r.bus.Lost():
			a.doom(err)
		case <-inside.Done():
		}
	})
	return nil
}

// announce logs where everything is.
func (a *App) announce(r *rooms) {
	at := a.Addresses()
	a.log.Info("listening", "public", at.Public, "internal", at.Internal, "nats", at.NATS)
	if !r.durable {
		a.log.Info("durable is false: nothing is stored, and who is away misses what is published")
	}
}

// Ready is closed when the gateway is ready for the first time; addresses.json
// is there by then.
func (a *App) Ready() <-chan struct{} { return a.ready.first }

// Err has at most one error, after Start: why the gateway will never be ready
// unless somebody changes a setting, or never again unless it is started anew. It
// goes on answering /readyz until it is stopped.
func (a *App) Err() <-chan error { return a.errs }

// doom says that waiting does not mend what is wrong.
func (a *App) doom(err error) {
	a.ready.set(doomed, err.Error())
	select {
	case a.errs <- err:
	default: // there is one already
	}
}

// Addresses is where the gateway listens; the zero value before Start.
func (a *App) Addresses() Addresses {
	var at Addresses
	if a.public != nil {
		at.Public = a.public.addr()
	}
	if a.internal != nil {
		at.Internal = a.internal.addr()
	}
	if r := a.rooms.Load(); r != nil {
		at.NATS = r.bus.URL()
	}
	return at
}

// Stop ends everything, at once for the connections that are left: call Drain
// before to have them leave in good order. It waits for NATS to be closed
// cleanly. Further calls wait for the first and return its error.
func (a *App) Stop() error {
	a.stopping.Do(func() { a.stopErr = a.stop() })
	return a.stopErr
}

func (a *App) stop() error {
	a.ready.set(stopped, "the gateway is stopping")
	a.cancel()
	a.background.Wait()
	errs := []error{removeAddresses(a.options.Load().Data, a.Addresses())}
	if a.public != nil {
		a.public.close()
	}
	if a.transport != nil {
		a.transport.Close()
	}
	if r := a.rooms.Load(); r != nil {
		errs = append(errs, r.close())
	}
	if a.internal != nil {
		a.internal.close()
	}
	return errors.Join(errs...)
}

// absolute is the directory whatever the working directory will be.
func absolute(dir string) string {
	if whole, err := filepath.Abs(dir); err == nil {
		return whole
	}
	return dir
}

// forgetAddresses removes addresses.json, whoever wrote it.
func forgetAddresses(dir string) error {
	if err := os.Remove(addressesFile(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the addresses of an earlier run: %w", err)
	}
	return nil
}
