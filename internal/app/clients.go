package app

import (
	"context"
	"io"
	"log/slog"

	"belfry/internal/bus"
	"belfry/internal/config"
)

// A Receipt says where a publication was stored.
type Receipt struct {
	Subject   string // full, as on the wire
	ID        string // under which a second try is the same publication
	Stream    string
	Seq       uint64
	Duplicate bool // the stream had it already
}

// Publish appends data to a user's personal channel and returns after the
// stream's ack. Until ctx ends it tries again with the same id; an empty id
// stands for a fresh one, which the receipt has, also with an error. natsURL is
// where NATS is; empty for the one in o.
func Publish(ctx context.Context, o config.Options, natsURL, user string, data []byte, id string) (Receipt, error) {
	b, err := bus.Dial(ctx, o, natsURL, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return Receipt{ID: id}, err
	}
	defer func() { _ = b.Close(ctx) }() // there is no store of ours to lose
	subject, err := b.Names().User(user)
	if err != nil {
		return Receipt{ID: id}, err
	}
	ack, err := b.Publish(ctx, subject, id, data)
	return Receipt{Subject: subject, ID: ack.ID, Stream: ack.Stream, Seq: ack.Seq, Duplicate: ack.Duplicate}, err
}
