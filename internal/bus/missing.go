package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Missing names the streams that a gateway needs and that NATS says there are
// not, that of the bucket of delivered cursors among them. An error that wraps
// ErrRestoring says that all are there, and one is not whole; any other that NATS
// could not be asked, as while a cluster elects.
func (b *Bus) Missing(ctx context.Context) (missing []string, err error) {
	if !b.o.Durable {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var restoring error
	for _, name := range []string{b.names.Notifications(), b.names.Channels(), "KV_" + b.names.Cursors()} {
		s, err := b.js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, name)
		case err != nil:
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		case restoring == nil:
			restoring = checkRestored(name, s.CachedInfo().Config.Metadata)
		}
	}
	if len(missing) > 0 {
		return missing, nil
	}
	return nil, restoring
}
