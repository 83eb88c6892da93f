package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"belfry/internal/hub"
)

const (
	// A deep read brings at most olderMost messages of a channel: the first
	// olderSingles one by one, which is the faster way for so few, the others
	// olderBatch at once.
	olderMost    = 1000
	olderSingles = 32
	olderBatch   = 250

	// A replica that is behind is asked again after olderPause; a NATS that is
	// away or has no leader until olderPatience is over.
	olderPause    = 250 * time.Millisecond
	olderPatience = 10 * time.Second
)

// errEpoch says that the stream is not what it was when a read began.
var errEpoch = errors.New("the stream's epoch changed")

// A deepQuery asks for the publications of channels above after, as far as the
// ring does not have them: up to its low end, with it.
type deepQuery struct {
	stream   string // its name
	ring     *ring
	channels []string
	subjects []string // of the channels, each at its channel's index
	after    uint64
	maxBytes int
}

// older reads a page: about maxBytes of payload, at least one publication.
// All up to next has been read then. It goes on where it was when an answer
// fails, for up to olderPatience.
func older(ctx context.Context, f *fetcher, q deepQuery) (batch []hub.Publication, next uint64, err error) {
	epoch, low := q.ring.reach()
	if epoch == "" {
		return nil, q.after, errEpoch
	}
	if q.after >= low {
		return nil, q.after, nil
	}
	page := page{query: q, fetcher: f, low: low, next: low, epoch: epoch, now: q.ring.date.now()}
	page.giveUp = time.Now().Add(olderPatience)
	for i := range q.channels {
		if err := page.read(ctx, i); err != nil {
			return nil, q.after, err
		}
	}
	if now, _ := q.ring.reach(); now != epoch {
		return nil, q.after, errEpoch
	}
	page.cut()
	return page.batch, page.next, nil
}

// A page is what one deep read has so far.
type page struct {
	query   deepQuery
	fetcher *fetcher
	epoch   string
	low     uint64
	now     int64
	giveUp  time.Time
	batch   []hub.Publication
	next    uint64 // every channel that was read was read up to here
}

// read adds a channel's publications up to next, or moves next down to where
// they are too many. The leader's last one tells where they end, and whether
// there are any: it costs about as much as a direct get, and is never behind.
func (p *page) read(ctx context.Context, channel int) error {
	subject := p.query.subjects[channel]
	end, err := p.try(ctx, func() (message, error) { return p.fetcher.leaderLast(ctx, p.query.stream, subject) })
	for at, read, bytes := p.query.after, 0, 0; err == nil; {
		last := min(end.seq, p.next)
		if last <= at {
			return nil
		}
		if read >= olderMost || read > 0 && bytes >= p.query.maxBytes {
			p.next = at
			return nil
		}
		var msgs []message
		if msgs, err = p.more(ctx, subject, at, read, p.query.maxBytes-bytes); err != nil {
			break
		}
		if len(msgs) == 0 {
			// What was the last is gone, or a replica answered that is behind.
			if end, err = p.rest(ctx, subject, at); err == nil {
				err = p.pause(ctx, nil)
			}
			continue
		}
		for _, m := range msgs {
			p.add(channel, m)
			at, bytes = m.seq, bytes+len(m.data)
		}
		read += len(msgs)
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// more reads on behind at; none where it finds none.
func (p *page) more(ctx context.Context, subject string, at uint64, read, maxBytes int) (msgs []message, err error) {
	one := read < olderSingles
	m, err := p.try(ctx, func() (m message, err error) {
		if one {
			return p.fetcher.nextOf(ctx, p.query.stream, subject, at)
		}
		msgs, _, err = p.fetcher.afterOf(ctx, p.query.stream, subject, at, olderBatch, max(1, maxBytes))
		return m, err
	})
	switch {
	case errors.Is(err, errGone):
		return nil, nil
	case one && err == nil:
		return []message{m}, nil
	}
	return msgs, err
}

// rest asks the leader for what follows, and has the newest looked up again
// where something does.
func (p *page) rest(ctx context.Context, subject string, at uint64) (end message, err error) {
	if _, err := p.try(ctx, func() (message, error) { return p.fetcher.leaderNext(ctx, p.query.stream, subject, at) }); err != nil {
		return message{}, err
	}
	return p.try(ctx, func() (message, error) { return p.fetcher.leaderLast(ctx, p.query.stream, subject) })
}

// try repeats a question that fails, until patience ends.
func (p *page) try(ctx context.Context, ask func() (message, error)) (message, error) {
	for {
		m, err := ask()
		if err == nil || errors.Is(err, errGone) || errors.Is(err, errClosed) || ctx.Err() != nil {
			return m, err
		}
		if err := p.pause(ctx, err); err != nil {
			return message{}, err
		}
	}
}

// pause waits until it makes sense to ask again; it fails with why, or with
// what ended ctx, where it does not.
func (p *page) pause(ctx context.Context, why error) error {
	if time.Now().After(p.giveUp) {
		if why == nil {
			why = errors.New("a replica stays behind the leader")
		}
		return fmt.Errorf("read what is older from stream %s: %w", p.query.stream, why)
	}
	timer := time.NewTimer(olderPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *page) add(channel int, m message) {
	if m.seq > p.low || m.marker || m.expires != 0 && m.expires <= p.now {
		return
	}
	p.batch = append(p.batch, hub.Publication{
		Channel: p.query.channels[channel], Payload: m.data, Class: hub.Classify(m.data),
		Stream: p.query.ring.stream, Epoch: p.epoch, Seq: m.seq, Expires: m.expires,
	})
}

// cut puts the channels' publications in order and ends the page at maxBytes.
func (p *page) cut() {
	slices.SortFunc(p.batch, func(a, b hub.Publication) int { return cmp.Compare(a.Seq, b.Seq) })
	bytes := 0
	for i := range p.batch {
		bytes += len(p.batch[i].Payload)
		switch {
		case p.batch[i].Seq > p.next:
			p.batch = p.batch[:i]
			return
		case i > 0 && bytes > p.query.maxBytes:
			p.next = p.batch[i-1].Seq
			p.batch = p.batch[:i]
			return
		}
	}
}
