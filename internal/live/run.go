package live

import (
	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
)

// run is the feed's goroutine: it waits for a message, takes along everything
// else that waits, and hands it on as one batch.
func (f *Feed) run() {
	defer close(f.ended)
	for {
		select {
		case m := <-f.in:
			f.pass(m)
		case <-f.stop:
			f.rest()
			return
		}
	}
}

// pass hands on one batch that begins with m.
func (f *Feed) pass(m *nats.Msg) {
	busy := len(f.in) >= cap(f.in)/2
	n := min(len(f.in)+1, maxBatch)
	batch := f.batch[:0]
	for {
		if p, ok := f.publication(m); ok {
			batch = append(batch, p)
		}
		if n--; n == 0 {
			break
		}
		m = <-f.in // does not block: only this goroutine takes from it
	}
	if len(batch) > 0 {
		f.hub.Publish(batch)
		clear(batch) // keeps no payload alive
	}
	f.batch = batch
	if busy { // else none can have been dropped
		f.mu.Lock()
		f.dropped()
		f.mu.Unlock()
	}
}

// rest hands on what had come when the feed was closed.
func (f *Feed) rest() {
	for {
		select {
		case m := <-f.in:
			f.pass(m)
		default:
			return
		}
	}
}

// publication reads a message. It is not ok where the subject is not the one
// spelling of a user id or a name.
func (f *Feed) publication(m *nats.Msg) (hub.Publication, bool) {
	channel, from, err := f.spell.read(m.Subject)
	if err != nil {
		f.misspelled.Add(1)
		return hub.Publication{}, false
	}
	f.counts[from].Add(1)
	return hub.Publication{Channel: channel, Payload: m.Data, Class: hub.Classify(m.Data)}, true
}
