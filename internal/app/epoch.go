package app

import (
	"context"
	"fmt"
	"log/slog"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/journal"
	"belfry/internal/position"
)

// A Rotated stream has another epoch.
type Rotated struct{ Stream, Epoch string }

// RotateEpochs gives the streams named another epoch: "notifications",
// "channels", or both where none is named. It returns those that have it, also
// with an error. natsURL is where NATS is; empty for the one in o.
func RotateEpochs(ctx context.Context, o config.Options, natsURL string, names ...string) ([]Rotated, error) {
	b, err := bus.Dial(ctx, o, natsURL, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close(ctx) }()
	if len(names) == 0 {
		names = []string{position.Notifications.String(), position.Channels.String()}
	}
	var done []Rotated
	for _, name := range names {
		var stream string
		switch name {
		case position.Notifications.String():
			stream = b.Names().Notifications()
		case position.Channels.String():
			stream = b.Names().Channels()
		default:
			return done, fmt.Errorf("there is no stream %q: it is notifications or channels", name)
		}
		epoch, err := journal.Rotate(ctx, b, stream)
		if err != nil {
			return done, err
		}
		done = append(done, Rotated{stream, epoch})
	}
	return done, nil
}
