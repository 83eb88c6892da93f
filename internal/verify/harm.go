package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"belfry/internal/verify/line"
)

const (
	slowBytes = 20_000 // a second and connection
	slowDelay = 30 * time.Millisecond
)

// take carries a turn out, and waits until the system is well again.
func (s *system) take(ctx context.Context, t turn, p *press) error {
	if t[0].kind.scope() == "stream" {
		return s.alter(ctx, t[0], p)
	}
	errs := make([]error, len(t))
	from := s.rec.now()
	var all sync.WaitGroup
	for i, f := range t {
		all.Go(func() { errs[i] = s.suffer(ctx, f) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	err := s.well(ctx)
	if t.away() {
		s.rec.isAway(from)
	}
	return err
}

// suffer does a fault, and undoes it.
func (s *system) suffer(ctx context.Context, f fault) error {
	if !sleep(ctx, f.after) {
		return nil
	}
	s.rec.note("%s, for %.1fs", f, f.hold.Seconds())
	s.rec.count("fault: " + string(f.kind))
	undo, err := s.harm(ctx, f)
	if err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	over := s.rec.suffers(f)
	defer over()
	sleep(ctx, f.hold) // undone also where the run is being ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoverWithin)
	defer cancel()
	if err := undo(ctx); err != nil {
		return fmt.Errorf("after %s: %w", f, err)
	}
	s.rec.note("%s is over", f)
	return nil
}

// harm does a fault, and returns what undoes it.
func (s *system) harm(ctx context.Context, f fault) (undo func(context.Context) error, err error) {
	switch f.kind.scope() {
	case "node":
		return s.harmNode(f)
	case "front":
		return worsen(f.kind, s.gateways[f.part].front), nil
	case "back":
		return worsen(f.kind, s.gateways[f.part].back...), nil
	}
	g := s.gateways[f.part]
	if f.kind == stepClock {
		return func(context.Context) error { return g.step(0) }, g.step(f.off)
	}
	restart := func(ctx context.Context) error { return s.restart(ctx, g, f) }
	switch f.kind {
	case killGateway:
		return restart, g.kill()
	case terminateGateway:
		return restart, errors.Join(g.signal(syscall.SIGTERM), g.gone(ctx))
	case stopGateway:
		return func(context.Context) error { return g.signal(syscall.SIGCONT) }, g.signal(syscall.SIGSTOP)
	}
	return func(ctx context.Context) error {
		if err := errors.Join(g.freeDisk(), g.kill()); err != nil {
			return err
		}
		return restart(ctx)
	}, g.fillDisk()
}

// restart starts a gateway and measures how long it takes until it is ready.
func (s *system) restart(ctx context.Context, g *gateway, f fault) error {
	begun := s.rec.now()
	if err := g.start(); err != nil {
		return err
	}
	if err := g.ready(ctx); err != nil {
		return err
	}
	s.rec.recovered(Recovery{What: "gateway " + g.name + " from its start until it was ready", After: string(f.kind), Took: s.rec.now() - begun, Beside: s.rec.beside(f, begun)})
	return nil
}

// worsen has lines be bad.
func worsen(k kind, lines ...*line.Proxy) (undo func(context.Context) error) {
	for _, l := range lines {
		switch k {
		case cutClients, cutNATS:
			l.Cut()
		case freezeClients, freezeNATS:
			l.Freeze()
		case forgetClients:
			l.Forget()
		default:
			l.Slow(slowBytes, slowDelay)
		}
	}
	return func(context.Context) error {
		for _, l := range lines {
			l.Heal()
		}
		return nil
	}
}

func (s *system) harmNode(f fault) (undo func(context.Context) error, err error) {
	c := s.cluster
	restart := func(ctx context.Context) error { return c.Restart(ctx, f.part) }
	switch f.kind {
	case killNode:
		if err := c.Kill(f.part); err != nil {
			return nil, err
		}
		s.leading.Go(s.lead)
		return restart, nil
	case terminateNode:
		ctx, cancel := context.WithTimeout(context.Background(), recoverWithin)
		defer cancel()
		return restart, c.Terminate(ctx, f.part)
	case stopNode:
		return func(context.Context) error { return c.Continue(f.part) }, c.Stop(f.part)
	case fillDisk:
		return func(ctx context.Context) error { return errors.Join(c.FreeDisk(f.part), c.Restart(ctx, f.part)) }, c.FillDisk(f.part)
	}
	for i := range c.Count() {
		if err := c.Kill(i); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		for i := range c.Count() {
			if err := c.Restart(ctx, (f.part+i)%c.Count()); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// lead waits until the stream of notifications has a leader again, for what the
// report says about the first delivery after that.
func (s *system) lead() {
	ctx, cancel := context.WithTimeout(context.Background(), recoverWithin)
	defer cancel()
	if _, err := s.cluster.WaitLeader(ctx, s.names.Notifications()); err == nil {
		s.rec.led()
	}
}

// sleep waits; it tells whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
