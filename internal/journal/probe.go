package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// probeKey has two dots, which no user's key has.
const probeKey = "belfry.store.probe"

// A prober finds out whether NATS writes what it is given.
type prober struct {
	writes atomic.Uint64 // cursors that had been written when it last looked
}

// Probe finds out whether NATS stores what it is given, by a write of a few
// bytes to the bucket of delivered cursors, in the place of the last one. Where
// a cursor was written since the last call it need not. It tells of the bucket's
// store, on the same disk as the streams' where there is one server; of a
// cluster, whether enough servers can write.
//
// bus.ErrNotStoring says that NATS was asked and did not acknowledge. Any other
// error says that it could not be asked.
func (j *Journal) Probe(ctx context.Context) error {
	if n := j.cursors.Stats().Writes; j.probe.writes.Swap(n) != n {
		return nil
	}
	err := j.cursors.store.touch(ctx)
	if errors.Is(err, bus.ErrTimeout) {
		return fmt.Errorf("%w: it does not acknowledge within %v", bus.ErrNotStoring, cursorPutTimeout)
	}
	return err
}

// touch writes the key that nobody reads.
func (s *cursorStore) touch(ctx context.Context) error {
	came := make(chan error, 1)
	forget := s.request(nats.NewMsg(s.puts+s.subject+probeKey), cursorPutTimeout, func(m *nats.Msg, err error) {
		if err == nil {
			err = apiError(m.Data)
		}
		came <- err
	})
	select {
	case err := <-came:
		return err
	case <-ctx.Done():
		forget()
		return context.Cause(ctx)
	}
}

// EnsureBucket sees to it that the bucket of delivered cursors exists and is fit
// for use, as bus.EnsureStreams does for the streams, which must be there.
func (j *Journal) EnsureBucket(ctx context.Context) error { return j.cursors.Ensure(ctx) }
