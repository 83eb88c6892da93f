package ops

import (
	"belfry/internal/histogram"
	"belfry/internal/reason"
)

// A Snapshot is everything that /metrics reports of the gateway itself, read at
// one moment. Every key of its maps becomes a label value, so the maps hold
// each value that can occur from the beginning, at 0.
type Snapshot struct {
	Connections   map[string]int // by dialect
	Channels      int            // channels that somebody is subscribed to
	Subscriptions int
	QueueBytes    int64 // waiting for connections that read slowly
	Limit         int   // how many connections there may be

	Authentications map[string]uint64 // by outcome
	AuthUnderWay    int               // requests that the backend has
	AuthWaiting     int               // requests in line behind them
	AuthTook        histogram.Snapshot

	Authorizations map[string]uint64 // by outcome

	Publications map[string]uint64 // by source
	Misspelled   uint64            // messages on a subject that is not canonical
	Dropped      uint64            // messages that the NATS client dropped
	Deliveries   map[string]uint64 // by dialect
	Pending      int               // publications taken in and not yet written to all
	Passes       uint64            // of the workers that write them
	Writes       uint64            // in these

	CatchingUp int               // connections that are being replayed to
	FromRing   uint64            // publications replayed from memory
	FromStream uint64            // publications replayed from the stream
	Resets     map[string]uint64 // connections whose place was lost, by reason

	Streams        map[string]Stream // by stream; empty where durable is false
	DeepWaiting    int               // reads from a stream that wait in line
	CursorsDirty   int               // users whose delivered cursor is not written yet
	CursorLag      float64           // s since the oldest of these changed
	CursorWrites   uint64
	CursorFailures uint64
	TicketsTaken   uint64

	Closes   [reason.Count]uint64 // connections that ended
	Refusals [reason.Count]uint64 // handshakes that never became one

	NATSConnected bool
	Missing       bool // a stream is gone, or there in part
	NotStoring    bool // NATS can't write what is published
	Durable       bool
	Ready         bool
}

// Stream is what a Snapshot reports of a stream.
type Stream struct {
	Watermark   uint64  // up to here it was handed to the hub
	Lag         uint64  // messages behind it that are not yet
	OldestAge   float64 // s since the oldest message was stored
	RingEntries int
	RingBytes   int
	Resets      uint64             // times that its history was found to be another
	Handover    histogram.Snapshot // from stored to handed to the hub
}

// Build says what is running: labels of belfry_build_info.
type Build struct {
	Version  string
	Revision string
	Go       string
}
