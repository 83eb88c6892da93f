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
	deliveries atomic.Uint64
}

// Hub is the gateway's table of channels and connections.
type Hub struct {
	shards []*shard
	seed   maphash.Seed

	mu        sync.Mutex // guards the following
	encodings []*Encoding
}

// New starts a hub with that many shards; 0 is one per core.
func New(shards int) *Hub {
	if shards == 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	h := &Hub{seed: maphash.MakeSeed()}
	for range shards {
		h.shards = append(h.shards, startShard())
	}
	return h
}

// Close writes what was published before and stops the workers. Publish may
// not be called after it.
func (h *Hub) Close() {
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
// than maxPending publications to write yet, so that a source that is faster
// than the machine is slowed down rather than stored in memory.
func (h *Hub) Publish(batch []Publication) {
	entries := make([]*entry, len(batch))
	for _, s := range h.shards {
		s.offer(batch, entries)
	}
}

// Stats is what there is to count.
type Stats struct {
	Channels      int               // with a subscriber, counted in each shard that has one
	Subscriptions int               // connection × channel
	Deliveries    map[string]uint64 // publications handed to connections, by dialect
}

// Stats reads the counters.
func (h *Hub) Stats() Stats {
	stats := Stats{Deliveries: map[string]uint64{}}
	for _, s := range h.shards {
		s.mu.Lock()
		stats.Channels += len(s.channels)
		stats.Subscriptions += s.subscriptions
		s.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.encodings {
		stats.Deliveries[e.dialect] += e.deliveries.Load()
	}
	return stats
}
