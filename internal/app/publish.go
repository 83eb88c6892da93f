package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/journal"
)

// A Publication is what Publish publishes.
type Publication struct {
	Channel string // "#" and a user id, or a name
	Data    []byte
	ID      string        // the same for another try; empty for a fresh one
	TTL     time.Duration // whole seconds; 0: as long as the stream keeps it
}

// A Receipt says where a publication was stored.
type Receipt struct {
	Subject   string // full, as on the wire
	ID        string // under which a second try is the same publication
	Stream    string
	Seq       uint64
	Duplicate bool   // the stream had it already
	Position  string // behind the publication; empty where Unknown says why
	Unknown   error  // it is stored, and its stream's epoch could not be read
}

// Publish appends to a channel's stream and returns after the stream's ack.
// Until ctx ends it tries again with the same id, which the receipt has, also
// with an error. natsURL is where NATS is; empty for the one in o.
func Publish(ctx context.Context, o config.Options, natsURL string, p Publication) (Receipt, error) {
	b, err := reach(ctx, o, natsURL)
	if err != nil {
		return Receipt{ID: p.ID}, err
	}
	defer func() { _ = b.Close(ctx) }() // there is no store of ours to lose
	r, err := journal.NewPublisher(b).Publish(ctx, p.Channel, p.ID, p.Data, p.TTL)
	got := Receipt{Subject: r.Subject, ID: r.ID, Stream: r.Store, Seq: r.Seq, Duplicate: r.Duplicate, Position: r.Position.String()}
	if got.ID == "" {
		got.ID = p.ID
	}
	if err != nil && r.Seq > 0 && !errors.Is(err, bus.ErrMisconfigured) {
		got.Unknown, err = err, nil
	}
	return got, err
}

// reachPause is between two tries to reach a NATS that is not there.
const reachPause = 250 * time.Millisecond

// reach connects to NATS, trying on until ctx ends while nobody is there.
func reach(ctx context.Context, o config.Options, natsURL string) (*bus.Bus, error) {
	for {
		b, err := bus.Dial(ctx, o, natsURL, slog.New(slog.DiscardHandler))
		if err == nil || !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, bus.ErrUnavailable) {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(reachPause):
		}
	}
}
