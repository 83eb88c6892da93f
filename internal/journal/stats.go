package journal

import (
	"sync/atomic"
	"time"

	"belfry/internal/histogram"
	"belfry/internal/hub"
	"belfry/internal/position"
)

// counters are a sequencer's.
type counters struct {
	publications atomic.Uint64 // handed to the hub
	consumed     atomic.Uint64 // batches that the consumer brought
	pulled       atomic.Uint64 // batches that were read from the stream
	polls        atomic.Uint64
	holes        atomic.Uint64 // that the consumer left and that had to be read
	consumers    atomic.Uint64 // given up and made anew
	checks       atomic.Uint64 // that were answered
	resets       atomic.Uint64 // times that the stream had another history
	rotations    atomic.Uint64
	handover     histogram.Histogram
}

// StreamStats is what there is to count and to watch of one stream.
type StreamStats struct {
	Stream       position.Stream
	Name         string // in NATS
	Epoch        string // "" until it is read
	Watermark    uint64 // up to here it has been handed to the hub
	Last         uint64 // the leader's, when it was last checked (10 s), or Watermark
	Lag          uint64 // Last less Watermark
	First        uint64
	Oldest       time.Time // when the oldest message was stored; zero where there is none
	RingEntries  int
	RingBytes    int
	RingLow      uint64 // above it replays are served from memory
	Publications uint64 // handed to the hub
	Misspelled   uint64 // not handed on: the subject is not canonical
	Polls        uint64 // of the stream's tail
	Pulled       uint64 // batches that a poll brought, and not the consumer
	Consumed     uint64 // batches that the consumer brought
	Holes        uint64 // that the consumer left
	Consumers    uint64 // that were lost and made anew
	Checks       uint64 // of the epoch, that were answered
	Resets       uint64 // times that its history changed under us
	Rotations    uint64 // of its epoch, by this gateway
	// Handover is how long after a message was stored the hub had it, of the
	// first message of each batch.
	Handover histogram.Snapshot
}

// Stats is what there is to count and to watch.
type Stats struct {
	Streams  []StreamStats
	Resets   map[hub.ResetReason]uint64 // clients that came and were told; every reason is there
	Deep     int                        // deep reads that wait in line
	Searches int                        // searches for a user's newest publications that wait
	Cursors  CursorStats
}

// Stats reads the counters.
func (j *Journal) Stats() Stats {
	all := Stats{Resets: map[hub.ResetReason]uint64{}, Deep: j.deep.waiting(), Searches: j.searches.length(), Cursors: j.cursors.Stats()}
	for why, n := range j.resets {
		all.Resets[why] = n.Load()
	}
	for _, s := range j.sequencers {
		all.Streams = append(all.Streams, s.figures())
	}
	return all
}

func (s *sequencer) figures() StreamStats {
	v := s.look()
	st := StreamStats{
		Stream: s.id, Name: s.name, Epoch: v.epoch, Watermark: v.watermark, First: v.first,
		Last: max(v.last, v.watermark), RingLow: s.ring.low(),
		Publications: s.stats.publications.Load(), Misspelled: s.spell.misspelled.Load(),
		Polls: s.stats.polls.Load(), Pulled: s.stats.pulled.Load(), Consumed: s.stats.consumed.Load(),
		Holes: s.stats.holes.Load(), Consumers: s.stats.consumers.Load(),
		Checks: s.stats.checks.Load(), Resets: s.stats.resets.Load(), Rotations: s.stats.rotations.Load(),
		Handover: s.stats.handover.Snapshot(),
	}
	st.Lag = st.Last - st.Watermark
	st.RingEntries, st.RingBytes = s.ring.size()
	if v.oldest != 0 {
		st.Oldest = time.Unix(0, v.oldest)
	}
	return st
}
