package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"belfry/internal/auth"
	"belfry/internal/backend"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/demo"
	"belfry/internal/dialect/eventsource"
	"belfry/internal/dialect/messagechannel"
	"belfry/internal/hub"
	"belfry/internal/journal"
	"belfry/internal/live"
	"belfry/internal/transport"
)

// closeNATS is how long the embedded NATS may take to close its store.
const closeNATS = 30 * time.Second

// How long cursors may take at the end. All of 20,000 users take a second or two,
// and some where the machine is busy: what is not written then is sent again. With
// the 5 s that a connection may take to be drained it stays within the 15 s that
// docs/deploy.md asks of service managers.
var flushWithin = 8 * time.Second // a test's is shorter

// flushDown is how long where nobody takes them: those that are written already
// need a moment to say so.
const flushDown = time.Second

// rooms are what a gateway consists of, once NATS has been started. They never
// change.
type rooms struct {
	durable   bool
	bus       *bus.Bus
	hub       *hub.Hub
	journal   *journal.Journal // nil where durable is false
	live      *live.Feed
	auth      *auth.Authenticator
	authorize *backend.Authorizer
	transport *transport.Server
	channel   *messagechannel.Dialect
	events    *eventsource.Dialect
	demo      *demo.Backend // nil without demo
}

// openRooms starts them in the order in which they need each other. Where one
// fails, those before it are closed. The transport stays the caller's to close,
// before the rooms: nobody brings work in then.
func openRooms(o config.Options, wire *transport.Server, log *slog.Logger) (*rooms, error) {
	b, err := bus.Start(o, log)
	if err != nil {
		return nil, err
	}
	r := &rooms{durable: o.Durable, bus: b, hub: hub.New(0), transport: wire}
	r.live = live.New(b.Conn(), b.Names(), r.hub, log)
	r.auth = auth.New(b, b.Names().Auth(), o.Auth, log)
	r.authorize = backend.NewAuthorizer(b, b.Names().Authorization(), o.Auth, log)
	r.channel = messagechannel.New(r.hub, r.auth, r.follower(o), log)
	r.events = eventsource.New(r.hub, r.auth, backend.NewPolicy(o.Channels.Public, r.authorize), r.follower(o), log)
	if err := r.open(o, log); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rooms) open(o config.Options, log *slog.Logger) error {
	var err error
	if o.Durable {
		if r.journal, err = journal.New(r.bus, r.hub, o, log); err != nil {
			return err
		}
		r.hub.SetHistory(r.journal)
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

// follow begins to bring what is published to the hub. It may be called again
// after an error.
func (r *rooms) follow(ctx context.Context) error {
	if r.journal == nil {
		return r.live.Start()
	}
	if err := r.journal.Start(ctx); err != nil {
		return err
	}
	return r.live.StartLive()
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
	if r.demo != nil {
		r.demo.Stop()
	}
	r.live.Close()
	var flushed error
	if r.journal != nil {
		flushed = r.flush()
		r.journal.Close()
	}
	r.hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closeNATS)
	defer cancel()
	closed := r.bus.Close(ctx)
	if r.journal != nil && closed == nil {
		closed = r.journal.Settled()
	}
	return errors.Join(flushed, closed)
}

// flush writes the delivered cursors. It has a time of its own, or a NATS that
// does not take them would leave none for closing the store.
func (r *rooms) flush() error {
	within := flushWithin
	if r.refused() {
		within = flushDown
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), within, fmt.Errorf("NATS did not take them within %v", within))
	defer cancel()
	return r.journal.Flush(ctx)
}

// refused tells that NATS takes nothing now.
func (r *rooms) refused() bool {
	_, away := r.bus.Away()
	return away || r.bus.Down() || r.bus.StoreError() != nil
}
