package ops

import "belfry/internal/reason"

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

	Publications map[string]uint64 // by source
	Misspelled   uint64            // messages on a subject that is not canonical
	Dropped      uint64            // messages that the NATS client dropped
	Deliveries   map[string]uint64 // by dialect

	Closes   [reason.Count]uint64 // connections that ended
	Refusals [reason.Count]uint64 // handshakes that never became one

	NATSConnected bool
	Durable       bool
	Ready         bool
}

// Build says what is running: labels of belfry_build_info.
type Build struct {
	Version  string
	Revision string
	Go       string
}
