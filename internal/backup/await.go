package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// silence is after how long without a word from the server a copy under way
	// is given up. The server itself gives up after 5 s without one of ours.
	silence   = 15 * time.Second
	lookEvery = 200 * time.Millisecond // at the connection
)

// errBroke: what was under way on a connection that broke is lost, or may be.
var errBroke = errors.New("the connection to NATS broke meanwhile, and something may be missing: do it again")

// errSilent: the server has said nothing for as long as silence.
var errSilent = fmt.Errorf("NATS has sent nothing for %v: do it again", silence)

// breaks returns what says whether the connection has broken since now, though
// it may be up again.
func breaks(nc *nats.Conn) func() bool {
	reconnects := nc.Stats().Reconnects
	return func() bool { return !nc.IsConnected() || nc.Stats().Reconnects != reconnects }
}

// await waits for a message, for as long as the connection has not broken.
func await(ctx context.Context, came <-chan *nats.Msg, broke func() bool) (*nats.Msg, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for since := time.Now(); ; {
		select {
		case m := <-came:
			return m, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-look.C:
			if broke() {
				return nil, errBroke
			}
			if time.Since(since) > silence {
				return nil, errSilent
			}
		}
	}
}

// connected waits for the connection to be up, unless it is closed or ctx ends.
func connected(ctx context.Context, nc *nats.Conn) bool {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !nc.IsConnected() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
		if nc.IsClosed() {
			return false
		}
	}
	return true
}
