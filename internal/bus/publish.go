package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Ack says where a publication was stored.
type Ack struct {
	Stream    string
	Seq       uint64
	Duplicate bool   // the stream had this id already, within its duplicate window
	ID        string // the id given, or the one made
}

const (
	// tryFor is how long one try waits for its ack. A new leader takes up to
	// 6 s after a kill, and a try that the old one took with it says nothing.
	tryFor   = 3 * time.Second
	firstGap = 50 * time.Millisecond
	lastGap  = time.Second
)

// Publish appends data to the stream that captures subject (full, with
// prefix), and returns once it is acknowledged. Until then it tries again with
// the same id for as long as ctx lives: give it a deadline. The id on the wire
// is "<subject>:<id>", so that one id on two subjects is two publications; an
// empty id stands for a fresh one.
//
// An error after ctx ended means not acknowledged, which is not the same as
// not stored: try again with the id in Ack, which is set in any case. What no
// retry can mend (too large, refused by the stream) is returned at once.
func (b *Bus) Publish(ctx context.Context, subject, id string, data []byte) (Ack, error) {
	return b.PublishHeader(ctx, subject, id, data, nil)
}

// PublishHeader is Publish with further headers.
func (b *Bus) PublishHeader(ctx context.Context, subject, id string, data []byte, header nats.Header) (Ack, error) {
	if id == "" {
		id = nuid.Next()
	}
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{nats.MsgIdHdr: {subject + ":" + id}}}
	maps.Copy(msg.Header, header)
	for gap := firstGap; ; gap = min(2*gap, lastGap) {
		ack, err := b.tryPublish(ctx, msg)
		if err == nil {
			return Ack{Stream: ack.Stream, Seq: ack.Sequence, Duplicate: ack.Duplicate, ID: id}, nil
		}
		if ctx.Err() == nil && b.lasting(err) {
			return Ack{ID: id}, fmt.Errorf("publish to %s: %w", subject, err)
		}
		select {
		case <-time.After(gap/2 + rand.N(gap/2)):
		case <-ctx.Done():
			return Ack{ID: id}, fmt.Errorf("publish to %s: not acknowledged: %w: %w", subject, context.Cause(ctx), b.publishError(subject, err))
		}
	}
}

func (b *Bus) tryPublish(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	return b.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
}

// lasting says whether a further try would fail in the same way.
func (b *Bus) lasting(err error) bool {
	if errors.Is(err, nats.ErrConnectionClosed) {
		return true
	}
	if !b.nc.IsConnected() {
		return false
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code < http.StatusInternalServerError && !passing(api)
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) || errors.Is(err, jetstream.ErrInvalidJSAck)
}

// passing says that a refusal is about this moment. A cluster refuses an id whose
// first try it has not stored yet (err_code 10158), which may still fail, and
// what a stream has too much of at once (10167).
func passing(api *jetstream.APIError) bool {
	return api.Code == http.StatusConflict || api.Code == http.StatusTooManyRequests
}

// publishError puts the library's words for the usual cases into ours.
func (b *Bus) publishError(subject string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no stream captures the subject (durable: false?), or its leader is away", ErrUnavailable)
	case errors.Is(err, nats.ErrReconnectBufExceeded), !b.nc.IsConnected():
		return fmt.Errorf("%w: NATS at %s is away", ErrUnavailable, b.url)
	case errors.Is(err, context.DeadlineExceeded):
		if err := b.Denied(strconv.Quote(subject)); err != nil {
			return err
		}
		if err := b.StoreError(); err != nil {
			return err
		}
		return fmt.Errorf("%w: NATS is there and does not acknowledge: its store can't be written (a full disk? its log says so), or the stream's leader is away", ErrTimeout)
	}
	return err
}

// Denied is the server's refusal where what it refused last was to publish on a
// subject with this in it. What is refused is not answered either: to who asked it
// looks like a server that stores nothing.
func (b *Bus) Denied(part string) error {
	err := b.nc.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	_, subject, ok := strings.Cut(err.Error(), "Publish to ")
	if !ok || !strings.Contains(subject, part) {
		return nil
	}
	return fmt.Errorf("%w: this NATS user lacks the right to publish to %s: belfry check --permissions prints what it needs", ErrMisconfigured, subject)
}
