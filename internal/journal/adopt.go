package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belfry/internal/bus"
)

// Adopted says what became of a restored bucket's cursors.
type Adopted struct {
	Kept    int // are of the stream's history, and have its new epoch
	Dropped int // of another history, ahead of the copy, or not readable: they count as none
}

// AdoptCursors gives the delivered cursors of a restored bucket the epoch of the
// restored stream: a cursor of the epoch in which both were copied, not above
// the last sequence of the stream's copy, is as true of the one as of the other.
// Without it every user who has no position would begin anew. What a running
// gateway has written meanwhile is left alone. domain is the JetStream domain.
func AdoptCursors(ctx context.Context, b *bus.Bus, domain, before, now string, last uint64) (Adopted, error) {
	fetch, err := newFetcher(b.Conn(), apiPrefix(domain))
	if err != nil {
		return Adopted{}, err
	}
	defer fetch.close()
	b.OnReconnect(fetch.lost)
	a := &adoption{store: newCursorStore(b, domain), fetch: fetch, before: before, now: now, last: last}
	if err := a.run(ctx); err != nil {
		return a.Adopted, fmt.Errorf("give the delivered cursors in %s the restored stream's epoch: %w", a.store.stream, err)
	}
	return a.Adopted, nil
}

type adoption struct {
	Adopted
	store       *cursorStore
	fetch       *fetcher
	before, now string
	last        uint64
}

func (a *adoption) run(ctx context.Context) error {
	_, end, _, _, err := a.fetch.state(ctx, a.store.stream)
	if err != nil {
		return err
	}
	for at := uint64(0); at < end; { // what is written here comes behind end
		msgs, _, err := a.fetch.after(ctx, a.store.stream, at, fetchMost)
		if err != nil {
			return err
		}
		if len(msgs) == 0 { // a replica may be behind
			m, err := a.fetch.leaderAfter(ctx, a.store.stream, at)
			if errors.Is(err, errGone) {
				return nil
			}
			if err != nil {
				return err
			}
			msgs = []message{m}
		}
		at = msgs[len(msgs)-1].seq
		if err := a.adopt(ctx, msgs, end); err != nil {
			return err
		}
	}
	return nil
}

// adopt writes a batch's cursors anew and waits for all of them.
func (a *adoption) adopt(ctx context.Context, msgs []message, end uint64) error {
	wrote, writing := make(chan error, len(msgs)), 0
	for _, m := range msgs {
		if len(m.data) == 0 || m.seq > end { // deleted; a gateway's, or our own
			continue
		}
		r, err := decodeRecord(m.data)
		if err != nil || r.epoch != a.before || r.seq > a.last {
			a.Dropped++
			continue
		}
		r.epoch = a.now
		writing++
		a.store.put(strings.TrimPrefix(m.subject, a.store.subject), r, m.seq, "", func(_ uint64, err error) { wrote <- err })
	}
	for ; writing > 0; writing-- {
		select {
		case err := <-wrote:
			switch {
			case err == nil:
				a.Kept++
			case !errors.Is(err, errCursorConflict):
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
