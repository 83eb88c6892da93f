package app

import (
	"context"
	"fmt"
	"log/slog"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/journal"
	"belfry/internal/position"
)

// A Following is what Follow follows.
type Following struct {
	Channel string // "#" and a user id, or a name
	// Since is a position, "all" for everything that is retained, or "now".
	Since string
	// Out is called with each publication and the position behind it.
	Out func(position string, payload []byte)
	// Status is called with a line for people whenever something changes.
	Status func(string)
}

// Follow reads a channel straight from its stream, whatever gateways there are,
// until ctx ends; then it returns nil. natsURL is where NATS is; empty for the
// one in o.
func Follow(ctx context.Context, o config.Options, natsURL string, f Following) error {
	read := journal.Follow{
		Channel:     f.Channel,
		All:         f.Since == "all",
		Publication: func(at position.Position, payload []byte) { f.Out(at.String(), payload) },
		Started:     func(at position.Position) { f.Status("following " + f.Channel + " from " + at.String()) },
		Reset: func(at position.Position, why hub.ResetReason) {
			f.Status(fmt.Sprintf("reset, reason %s: something may be missing, going on from %s", why, at))
		},
		Trouble: func(err error) {
			if err == nil {
				f.Status("the stream can be read again")
				return
			}
			f.Status(fmt.Sprintf("trying on: %v", err))
		},
	}
	if f.Since != "all" && f.Since != "now" {
		var err error
		if read.Since, err = position.Parse(f.Since); err != nil {
			return err
		}
	}
	b, err := bus.Dial(ctx, o, natsURL, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		_ = b.Close(ctx)
	}()
	at, err := read.Run(ctx, b, o.NATS.Domain)
	if err == nil && !at.IsZero() {
		f.Status("stopped; --since " + at.String() + " goes on from here")
	}
	return err
}
