package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"belfry/internal/auth"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/demo"
	"belfry/internal/dialect/messagechannel"
	"belfry/internal/hub"
	"belfry/internal/live"
	"belfry/internal/transport"
)

// closeNATS is how long the embedded NATS may take to close its store.
const closeNATS = 30 * time.Second

// rooms are what a gateway consists of, once NATS has been started. They never
// change.
type rooms struct {
	durable   bool
	bus       *bus.Bus
	hub       *hub.Hub
	live      *live.Feed
	auth      *auth.Authenticator
	transport *transport.Server
	channel   *messagechannel.Dialect
	demo      *demo.Backend // nil without demo
}

// openRooms starts them in the order in which they need each other. Where one
// fails, those before it are closed.
func openRooms(o config.Options, log *slog.Logger) (*rooms, error) {
	b, err := bus.Start(o, log)
	if err != nil {
		return nil, err
	}
	r := &rooms{durable: o.Durable, bus: b, hub: hub.New(0)}
	r.live = live.New(b.Conn(), b.Names(), r.hub, log)
	r.auth = auth.New(b, b.Names().Auth(), o.Auth, log)
	r.channel = messagechannel.New(r.hub, r.auth, r.follower(o), log)
	if err := r.open(o, log); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rooms) open(o config.Options, log *slog.Logger) error {
	var err error
	r.transport, err = transport.New(transport.Options{
		Connections: o.Limits.Connections,
		Queue:       o.Limits.Queue,
		Log:         log,
	})
	if err != nil {
		return fmt.Errorf("starting the transport: %w", err)
	}
	if !o.Demo {
		return nil
	}
	var stream demo.Publisher
	if o.Durable {
		stream = r.bus
	}
	r.demo, err = demo.Start(r.bus.Conn(), stream, r.bus.Names(), log)
	return err
}

// follower is nil, and not a nil pointer in an interface, where the original
// system's naming is off.
func (r *rooms) follower(o config.Options) messagechannel.Follower {
	if !o.MessageChannel.Legacy {
		return nil
	}
	return r.live
}

// close ends them in the reverse order: who brings work in before who does it,
// NATS last.
func (r *rooms) close() error {
	if r.transport != nil {
		r.transport.Close()
	}
	if r.demo != nil {
		r.demo.Stop()
	}
	r.live.Close()
	r.hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closeNATS)
	defer cancel()
	return r.bus.Close(ctx)
}
