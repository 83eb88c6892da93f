package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Missing names the streams that a gateway needs and that NATS says there are
// not, that of the bucket of delivered cursors among them. An error says that it
// could not be asked, as while a cluster elects.
func (b *Bus) Missing(ctx context.Context) (missing []string, err error) {
	if !b.o.Durable {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for _, name := range []string{b.names.Notifications(), b.names.Channels(), "KV_" + b.names.Cursors()} {
		_, err := b.js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, name)
		case err != nil:
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		}
	}
	return missing, nil
}
