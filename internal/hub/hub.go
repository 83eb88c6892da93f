// Package hub joins publications with the connections that want them. It knows
// channels, connections and the order between them, and neither a wire format
// nor NATS.
//
// Connections are spread over shards by user. A shard has one worker, which is
// the only one to write publications to the shard's connections. It takes all
// that is pending in one pass and writes each connection once, with the frames
// of several publications joined: under load that is what a delivery costs
// least by, and at a low rate nothing waits, so nothing is delayed for it.
//
// Two promises shape the code:
//
//   - Within a connection publications leave in the order in which they were
//     published, across its channels.
//   - A large fan-out does not hold up a single user's publication: it is taken
//     in slices of 64 connections, and small channels run between slices. A
//     connection that is overtaken so gets what it still lacked of the large
//     one first, in the same write.
//
// Both follow from one number: each subscription remembers the last publication
// that was sent on it, and whoever writes to a connection writes all that is
// pending on any of its subscriptions, in order.
package hub

import (
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"belfry/internal/position"
)

// A Publication is one message on a channel.
type Publication struct {
	// Channel is "#" and the user id for a personal channel, else a name.
	Channel string
	// Payload is shared by all who see the publication and never changed.
	Payload []byte
	// Class is what kind of bytes the payload is; Classify tells.
	Class Class

	// Stream is where it is stored; None for what is live only, which has none
	// of the following.
	Stream position.Stream
	// Epoch and Seq are its place there.
	Epoch string
	Seq   uint64
	// Expires is when it is not to be delivered any more, in ns since 1970; 0 for
	// never.
	Expires int64
	// At says "everything up to here" to a connection that receives it: the hub
	// sets it.
	At position.Position
}

// An Encoding turns a publication into the bytes that every connection of that
// encoding is sent. Hub.Encoding makes one.
type Encoding struct {
	dialect    string
	encode     func(*Publication) []byte
	reset      func(position.Position, ResetReason) []byte
	deliveries atomic.Uint64
}

// OnReset says what a connection of this encoding is sent when a stream that it
// reads was re-created or restored under it: from where it goes on, and why.
// Without it the connection is told nothing.
func (e *Encoding) OnReset(frame func(now position.Position, why ResetReason) []byte) {
	e.reset = frame
}

// Hub is the gateway's table of channels and connections.
//
// Lock order: Hub.order, then shard.mu. catchups.mu, entry.mu and Hub.mu are
// leaves.
type Hub struct {
	shards   []*shard
	seed     maphash.Seed
	history  History // nil: nothing is stored
	catchups *catchups

	// order is held while a batch is offered, so that all shards see all batches
	// in one order, and guards the following.
	order sync.Mutex
	marks position.Position // up to where each stream has been offered
	taken []*entry          // a batch's while it is offered, used again and again

	mu        sync.Mutex // guards the following
	encodings []*Encoding
}

// New starts a hub with that many shards; 0 is one per core.
func New(shards int) *Hub {
	if shards == 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	h := &Hub{seed: maphash.MakeSeed(), catchups: startCatchups()}
	for range shards {
		h.shards = append(h.shards, startShard())
	}
	return h
}

// SetHistory says where Resume reads from. It is called before the first
// Resume, and not at all where nothing is stored.
func (h *Hub) SetHistory(history History) { h.history = history }

// Close writes what was published before and stops the workers. Publish may
// not be called after it.
func (h *Hub) Close() {
	h.catchups.close()
	for _, s := range h.shards {
		s.close()
	}
}

// Encoding registers a way to encode. The dialect's name labels its deliveries
// in Stats. encode is called once per publication that somebody of this
// encoding is sent; what it returns is shared and must not change.
func (h *Hub) Encoding(dialect string, encode func(*Publication) []byte) *Encoding {
	e := &Encoding{dialect: dialect, encode: encode}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.encodings = append(h.encodings, e)
	return e
}

// Publish hands a batch to the connections subscribed to its channels, in
// order, and returns without waiting for any connection. Batches of concurrent
// calls are in no order to each other. It waits only while a shard has more
// than maxPending publications of the same stream's channels to write yet, so
// that a source that is faster than the machine is slowed down rather than
// stored in memory, and does not hold up the other stream's.
//
// Of what is stored it must be given every publication, each stream's in order,
// also those that nobody here reads. It sets their At, and does not keep batch.
func (h *Hub) Publish(batch []Publication) {
	h.awaitRoom(batch)
	h.order.Lock()
	defer h.order.Unlock()
	entries := slices.Grow(h.taken[:0], len(batch))[:len(batch)]
	defer clear(entries)
	h.taken = entries
	for i := range batch {
		if p := &batch[i]; p.Stream != position.None {
			h.marks[p.Stream-1] = position.Mark{Epoch: p.Epoch, Seq: p.Seq}
			p.At = h.marks
		}
	}
	for _, s := range h.shards {
		s.offer(batch, entries, h.marks)
	}
}

// awaitRoom waits for room in every shard for the channels of a batch.
func (h *Hub) awaitRoom(batch []Publication) {
	var streams [position.Count]bool
	for i := range batch {
		streams[position.Of(batch[i].Channel)-1] = true
	}
	for _, stream := range position.All() {
		if !streams[stream-1] {
			continue
		}
		for _, s := range h.shards {
			s.awaitRoom(stream)
		}
	}
}

// Advance says that a stream has nothing to publish up to a mark: at the start,
// or where sequences were deleted or have expired.
func (h *Hub) Advance(stream position.Stream, to position.Mark) {
	h.order.Lock()
	defer h.order.Unlock()
	h.marks = h.marks.With(stream, to)
	for _, s := range h.shards {
		s.offer(nil, nil, h.marks)
	}
}

// Reset says that a stream has another epoch: up to the mark it is what it was,
// and what is published from now on follows the mark. Connections that read it
// are told so, as far as their protocol can, and go on from there; a client that
// is still before the mark goes on from where it stands.
func (h *Hub) Reset(stream position.Stream, now position.Mark, why ResetReason) {
	h.order.Lock()
	defer h.order.Unlock()
	h.marks = h.marks.With(stream, now)
	for _, s := range h.shards {
		s.reset(stream, h.marks, why)
	}
}

// Marks is up to where the streams have been offered.
func (h *Hub) Marks() position.Position {
	h.order.Lock()
	defer h.order.Unlock()
	return h.marks
}

// Stats is what there is to count.
type Stats struct {
	Channels      int               // with a subscriber, counted in each shard that has one
	Subscriptions int               // connection × channel
	Deliveries    map[string]uint64 // publications handed to connections, by dialect
	Pending       int               // publications not yet written to all, counted in each shard that has them to write
	Passes        uint64            // of the shards' workers, in which they wrote
	Writes        uint64            // that they made of them, one for each connection and pass
	CatchingUp    int               // connections that are being replayed to
	FromRing      uint64            // publications replayed from memory
	FromStream    uint64            // publications replayed from the stream
	Resets        map[ResetReason]uint64
}

// Stats reads the counters.
func (h *Hub) Stats() Stats {
	stats := Stats{
		Deliveries: map[string]uint64{},
		CatchingUp: int(h.catchups.open.Load()),
		FromRing:   h.catchups.fromRing.Load(),
		FromStream: h.catchups.fromStream.Load(),
		Resets:     map[ResetReason]uint64{},
	}
	for _, s := range h.shards {
		s.mu.Lock()
		stats.Channels += len(s.channels)
		stats.Subscriptions += s.subscriptions
		stats.Passes += s.passes
		stats.Writes += s.writes
		for _, n := range s.pending {
			stats.Pending += n
		}
		for why, n := range s.resets {
			stats.Resets[why] += n
		}
		s.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.encodings {
		stats.Deliveries[e.dialect] += e.deliveries.Load()
	}
	return stats
}
