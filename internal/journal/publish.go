package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/position"
	"belfry/internal/subject"
)

var (
	// ErrChannel says that a channel's name can't be one.
	ErrChannel = errors.New("no such channel")
	// ErrTTL says that a publication's time can't be one.
	ErrTTL = errors.New("ttl must be whole seconds, at least 1")
)

// A Receipt says where a publication was stored.
type Receipt struct {
	ID        string // the one given, or the one made
	Subject   string // full
	Store     string // the stream's name in NATS
	Stream    position.Stream
	Seq       uint64
	Epoch     string
	Duplicate bool // the stream had this id on this channel already, at Seq
	// Position is behind the publication: a client that is given it starts with
	// the next one of that stream.
	Position position.Position
}

// A Publisher appends publications to the streams.
type Publisher struct {
	bus     *bus.Bus
	sources []source
	epoch   func(ctx context.Context, s source) (string, error)
}

// NewPublisher is for who has no journal: each publication costs another
// question for the stream's epoch.
func NewPublisher(b *bus.Bus) *Publisher {
	return &Publisher{b, sources(b.Names()), func(ctx context.Context, s source) (string, error) {
		return Epoch(ctx, b, s.name)
	}}
}

// Publish appends data to a channel, "#" and a user id or a name, and returns
// after the stream's ack. With the same id on the same channel it is stored once
// within the stream's duplicate window, however often and by whichever gateway
// it is published; an empty id stands for a fresh one. ttl is for how long it is
// to be kept, in whole seconds; 0 is for as long as the stream keeps it.
//
// It tries for as long as ctx lives: give it a deadline. An error that is
// neither ErrChannel nor ErrTTL may leave it stored: Receipt.ID is set, try
// again with it.
func (p *Publisher) Publish(ctx context.Context, channel, id string, data []byte, ttl time.Duration) (Receipt, error) {
	src, subj, err := p.find(channel)
	if err != nil {
		return Receipt{}, err
	}
	var header nats.Header
	if ttl != 0 {
		if ttl < time.Second || ttl%time.Second != 0 || ttl > maxTTL {
			return Receipt{}, fmt.Errorf("%w: it is %v", ErrTTL, ttl)
		}
		header = nats.Header{headerTTL: {strconv.FormatInt(int64(ttl/time.Second), 10)}}
	}
	ack, err := p.bus.PublishHeader(ctx, subj, id, data, header)
	r := Receipt{ID: ack.ID, Subject: subj, Store: ack.Stream, Stream: src.id, Seq: ack.Seq, Duplicate: ack.Duplicate}
	if err != nil {
		return r, err
	}
	if ack.Stream != src.name {
		return r, fmt.Errorf("%w: stream %s, which is not Belfry's, has stored what was published on %s", bus.ErrMisconfigured, ack.Stream, subj)
	}
	if r.Epoch, err = p.epoch(ctx, src); err != nil {
		return r, fmt.Errorf("published, but where is not known: %w", err)
	}
	r.Position = r.Position.With(src.id, position.Mark{Epoch: r.Epoch, Seq: r.Seq})
	return r, nil
}

func (p *Publisher) find(channel string) (source, string, error) {
	for _, src := range p.sources {
		if src.id != position.Of(channel) {
			continue
		}
		subj, err := src.subject(channel)
		if err != nil {
			return src, "", fmt.Errorf("%w: channel %q: %w", ErrChannel, channel, err)
		}
		return src, subj, nil
	}
	return source{}, "", fmt.Errorf("%w: channel %q is of no stream", ErrChannel, channel)
}

// SubjectOf is the full subject of a channel: what a backend publishes to.
func SubjectOf(names subject.Names, channel string) (string, error) {
	_, subj, err := (&Publisher{sources: sources(names)}).find(channel)
	return subj, err
}
