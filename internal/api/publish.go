package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"belfry/internal/journal"
	"belfry/internal/subject"
)

// publishWithin is how long a publication waits for its ack: longer than NATS
// takes to elect a leader (up to 6 s after a kill), shorter than the 10 s after
// which HTTP clients give up, who then would not be told the id. A test's is
// shorter.
var publishWithin = 8 * time.Second

// A publication is what /api/publish is asked for.
type publication struct {
	channel string
	data    json.RawMessage // as it was written
	id      string          // "" for a fresh one
	ttl     time.Duration   // 0: as long as the stream keeps it
}

// A stored publication is what it answers.
type stored struct {
	Offset   uint64 `json:"offset"`
	Epoch    string `json:"epoch"`
	Position string `json:"position"`
}

// publish returns when the stream has acknowledged.
func (s *Server) publish(ctx context.Context, o object) (any, error) {
	p, err := readPublication(o)
	if err != nil {
		return nil, err
	}
	if most := s.maxData(); int64(len(p.data)) > most {
		return nil, fmt.Errorf("data is %w: it has %d bytes, and NATS's largest message (max_payload) has room for %d", errTooLarge, len(p.data), most)
	}
	publisher, err := s.on.Publisher()
	if err != nil {
		return nil, failed(NotStored, "not stored: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	r, err := publisher.Publish(ctx, p.channel, p.id, p.data, p.ttl)
	switch {
	case err == nil:
		return stored{Offset: r.Seq, Epoch: r.Epoch, Position: r.Position.String()}, nil
	case errors.Is(err, journal.ErrChannel):
		return nil, failed(NoChannel, "%v", err)
	case errors.Is(err, journal.ErrTTL):
		return nil, failed(BadRequest, "%v", err)
	}
	s.log.Warn("a publication was not acknowledged", "channel", p.channel, "err", err)
	return nil, failed(NotStored, "not acknowledged, so it may be stored or not: try again with idempotency_key %q: %v", r.ID, err)
}

func readPublication(o object) (p publication, err error) {
	user, err := o.id("user")
	if err != nil {
		return p, err
	}
	if p.channel, err = o.text("channel"); err != nil {
		return p, err
	}
	switch {
	case p.channel != "" && user != "":
		return p, failed(BadRequest, "channel and user are both given: user 42 is the channel #42")
	case user != "":
		p.channel = "#" + user
	case p.channel == "":
		return p, failed(BadRequest, "channel is missing (or user, for a user's personal channel)")
	}
	var given bool
	if p.data, given = o["data"]; !given {
		return p, failed(BadRequest, "data is missing")
	}
	if p.id, err = o.text("idempotency_key"); err != nil {
		return p, err
	}
	if p.id != "" {
		if err := subject.CheckMessageID(p.id); err != nil {
			return p, failed(BadRequest, "idempotency_key: %v", err)
		}
	}
	p.ttl, err = o.seconds("ttl")
	return p, err
}
