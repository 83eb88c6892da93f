package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"belfry/internal/app"
	"belfry/internal/config"
)

// daemon is a gateway in this process, and what signals do to it.
type daemon struct {
	opts  *options
	log   *slog.Logger
	level *slog.LevelVar
	first config.Loaded
	ready func(app.Addresses) // called once, when it first is; may be nil
}

func newDaemon(opts *options, loaded config.Loaded) *daemon {
	log, level := newLog(os.Stderr, loaded.Options.Log)
	return &daemon{opts: opts, log: log, level: level, first: loaded}
}

// run returns when the gateway has stopped: told to, or because it can't become
// ready with this configuration.
func (d *daemon) run() error {
	outlivePipes()
	signals := make(chan os.Signal, 8) // room for some while a reload is under way
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	paced, unpace := context.WithCancel(context.Background())
	defer unpace()
	go app.PaceCollection(paced)

	d.warn(d.first)
	a, err := app.New(d.first.Options, d.log)
	if err != nil {
		return err
	}
	if going, err := d.start(a, signals); !going {
		return err
	}
	ready := a.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			if d.ready != nil {
				d.ready(a.Addresses())
			}
		case err := <-a.Err():
			if stop := d.await(a.Stop, signals, false); !errors.Is(stop, errQuiet) {
				err = errors.Join(err, stop)
			}
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				return d.stop(a, s, signals)
			}
			d.reload(a)
		}
	}
}

// start heeds signals too: the store of an embedded NATS can take a while to
// recover. The first one has Start give up where it can, which is no failure, and
// the second ends it. The gateway is not going where start has no error either.
func (d *daemon) start(a *app.App, signals <-chan os.Signal) (going bool, err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	started := make(chan error, 1)
	go func() { started <- a.Start(ctx) }()
	for {
		select {
		case err := <-started:
			if ctx.Err() == nil {
				return err == nil, err
			}
			if err == nil || errors.Is(err, errTold) {
				err = d.await(a.Stop, signals, true) // where Start has called it, its error
			}
			return false, err
		case s := <-signals:
			if s == syscall.SIGHUP {
				d.log.Warn("not reloading while starting; send the signal again later", "signal", s.String())
				continue
			}
			if ctx.Err() != nil {
				return false, d.leave(s)
			}
			d.log.Info("stopping before having started", "signal", s.String())
			cancel(errTold)
		}
	}
}

// errTold has Start give up.
var errTold = errors.New("told to stop")

// stop drains after SIGTERM and not after SIGINT: who pressed Ctrl-C waits at
// the terminal.
func (d *daemon) stop(a *app.App, s os.Signal, signals <-chan os.Signal) error {
	d.log.Info("stopping", "signal", s.String())
	return d.await(func() error {
		if s == syscall.SIGTERM {
			a.Drain(context.Background())
		}
		return a.Stop()
	}, signals, true)
}

// await waits for the gateway's end. Who asks for it a second time does not want
// to wait; told says that somebody has asked.
func (d *daemon) await(end func() error, signals <-chan os.Signal, told bool) error {
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	for {
		select {
		case err := <-ended:
			if err == nil {
				d.log.Info("stopped")
			}
			return err
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
			case told:
				return d.leave(s)
			default:
				told = true
				d.log.Info("stopping already", "signal", s.String())
			}
		}
	}
}

// leave is for a second signal.
func (d *daemon) leave(s os.Signal) error {
	d.log.Warn("ending without waiting for what is under way", "signal", s.String())
	return errQuiet
}

// reload takes over what it can; a configuration with mistakes changes nothing.
func (d *daemon) reload(a *app.App) {
	loaded, err := d.opts.load()
	if err != nil {
		var mistakes config.Problems
		errors.As(err, &mistakes)
		for _, p := range mistakes {
			d.log.Error("mistake in the configuration", "key", p.Key, "source", p.Source, "err", p.What, "remedy", p.Remedy)
		}
		d.log.Error("configuration not reloaded, everything stays as it was", "mistakes", len(mistakes))
		return
	}
	d.warn(loaded)
	applied, needRestart := a.Reload(loaded.Options)
	setLevel(d.level, loaded.Options.Log)
	d.log.Info("configuration reloaded", "applied", applied)
	if len(needRestart) > 0 {
		d.log.Warn("some changes need a restart", "keys", needRestart)
	}
}

func (d *daemon) warn(loaded config.Loaded) {
	for _, p := range loaded.Warnings {
		d.log.Warn("configuration", "key", p.Key, "source", p.Source, "warning", p.What, "remedy", p.Remedy)
	}
}
