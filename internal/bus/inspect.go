package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Inspect is EnsureStreams without changing anything: it says of each stream
// that it is there or will be created, or fails with what a gateway would fail
// with. It leaves the bucket of cursors to the gateway.
func (b *Bus) Inspect(ctx context.Context) (says []string, err error) {
	if !b.o.Durable {
		return nil, nil
	}
	for _, want := range []jetstream.StreamConfig{
		b.wanted(b.names.Notifications(), b.names.Users()),
		b.wanted(b.names.Channels(), b.names.AllChannels()),
	} {
		said, err := b.inspect(ctx, want)
		if err != nil {
			return says, err
		}
		says = append(says, said)
	}
	return says, b.checkCaptures(ctx)
}

func (b *Bus) inspect(ctx context.Context, want jetstream.StreamConfig) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && b.o.Stream.Manage == "never":
		return "", b.create(ctx, want) // which creates nothing then, and says so
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Sprintf("stream %s does not exist, a gateway creates it (stream.manage: %s)", want.Name, b.o.Stream.Manage), nil
	case err != nil:
		return "", b.explain(ctx, "look up", want, err)
	}
	have := stream.CachedInfo().Config
	if err := CheckLayout(have.Name, have.Metadata); err != nil {
		return "", err
	}
	if found := faults(have, want); len(found) > 0 && b.o.Stream.Manage == "update" && !anyFixed(found) {
		return fmt.Sprintf("stream %s needs other settings, a gateway changes them (stream.manage: update)", want.Name), nil
	}
	if err := checkRequired(have, want); err != nil {
		return "", err
	}
	return fmt.Sprintf("stream %s is there, with %d messages", want.Name, stream.CachedInfo().State.Msgs), nil
}
