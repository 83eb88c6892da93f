package backup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// stalled is after how long without progress the copies of a restored stream
	// are waited for no longer.
	stalled  = 30 * time.Second
	growLook = 100 * time.Millisecond
)

// ErrBehind: a stream is whole on one server, and its cluster makes no progress
// with the other copies.
var ErrBehind = errors.New("the stream is there, and not all copies of it")

// grow has a cluster keep a stream of one copy on more servers, and waits until
// all have all of it. ErrReplicas where there is no cluster.
//
// A stream is restored in one copy and grown, since a cluster that restores one
// of several (seen with 2.15.2) gives the server that reads the copy another
// creation time than the others: after a change of leader it would be taken for
// another stream.
func grow(ctx context.Context, nc *nats.Conn, domain, stream string, replicas int) error {
	for least, since := uint64(math.MaxUint64), time.Now(); ; {
		missing, err := growing(ctx, nc, domain, stream, replicas)
		switch {
		case err == nil && missing == 0:
			return nil
		case errors.Is(err, ErrReplicas), errors.Is(err, nats.ErrPermissionViolation):
			return err
		case errors.Is(err, ErrNoStream): // it was not whole anywhere after all
			return fmt.Errorf("%w; %w", err, ErrUnfinished)
		case err == nil && missing < least:
			least, since = missing, time.Now()
		case time.Since(since) > stalled:
			return errors.Join(fmt.Errorf("%w: no progress towards %d in %v", ErrBehind, replicas, stalled), err)
		}
		select {
		case <-time.After(growLook):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBehind, context.Cause(ctx))
		}
	}
}

// growing asks for the copies, where that was not done, and returns how much is
// missing of them: it is less than before where there is progress, and 0 at the
// end.
func growing(ctx context.Context, nc *nats.Conn, domain, stream string, replicas int) (uint64, error) {
	var info struct {
		Config  Settings `json:"config"`
		Cluster struct {
			Leader   string `json:"leader"`
			Replicas []struct {
				Current bool   `json:"current"`
				Lag     uint64 `json:"lag"`
			} `json:"replicas"`
		} `json:"cluster"`
	}
	if err := ask(ctx, nc, api(domain)+"STREAM.INFO."+stream, nil, &info); err != nil {
		return 0, err
	}
	if info.Config.Replicas() != replicas {
		info.Config.set("num_replicas", replicas)
		err := ask(ctx, nc, api(domain)+"STREAM.UPDATE."+stream, info.Config, &struct{}{})
		return math.MaxUint64, err
	}
	const none = 1 << 32 // what a copy lacks that was not begun
	missing := uint64(max(replicas-1-len(info.Cluster.Replicas), 0)) * none
	for _, r := range info.Cluster.Replicas {
		if missing += r.Lag; !r.Current {
			missing++
		}
	}
	if info.Cluster.Leader == "" {
		missing++
	}
	return missing, nil
}
