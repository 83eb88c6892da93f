package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	replaceTries = 4
	replacePause = time.Second // and twice as long after each
)

// Replace puts a copy in a stream's place: it deletes the stream, where it is
// there, and restores the copy. What may pass is tried again from the start, up
// to four times within some minutes: a stream that was restored in part, or
// that a gateway has made meanwhile, is deleted as well. copied is called for each
// try, and returns the copy from its beginning.
func Replace(ctx context.Context, nc *nats.Conn, domain, stream string, copied func() io.Reader, c Change) (Head, error) {
	pause := replacePause
	for try := 1; ; try++ {
		head, err := replace(ctx, nc, domain, stream, copied(), c)
		if err == nil || !passing(err) || ctx.Err() != nil {
			return head, err
		}
		if try == replaceTries {
			return head, fmt.Errorf("tried %d times: %w", try, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return head, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		pause *= 2
	}
}

func replace(ctx context.Context, nc *nats.Conn, domain, stream string, copied io.Reader, c Change) (Head, error) {
	wait, done := context.WithTimeout(ctx, undoWithin)
	defer done()
	if !connected(wait, nc) {
		return Head{}, fmt.Errorf("restore stream %s: the connection to NATS is down", stream)
	}
	if err := Delete(ctx, nc, domain, stream); err != nil && !errors.Is(err, ErrNoStream) {
		return Head{}, err
	}
	return Restore(ctx, nc, domain, copied, c)
}

// passing says whether doing it again may help.
func passing(err error) bool {
	for _, e := range []error{ErrExists, ErrRefused, ErrUnfinished, errBroke, errDeaf, errSilent, nats.ErrNoResponders, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
