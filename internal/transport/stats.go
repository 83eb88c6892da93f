package transport

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"belfry/internal/reason"
)

// Stats is what there is to count.
type Stats struct {
	Connections map[string]int       // open now, by dialect
	QueueBytes  int64                // waiting for slow connections
	Closes      [reason.Count]uint64 // connections that ended, by reason
}

type counters struct {
	open       atomic.Int64
	queueBytes atomic.Int64
	closes     [reason.Count]atomic.Uint64

	mu       sync.Mutex
	dialects []*dialectCount // by Conn.dialect; only grows
}

type dialectCount struct {
	name string
	open atomic.Int64
}

// dialect returns the index of a dialect's counter. There are a handful.
func (k *counters) dialect(name string) uint8 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, d := range k.dialects {
		if d.name == name {
			return uint8(i)
		}
	}
	k.dialects = append(k.dialects, &dialectCount{name: name})
	return uint8(len(k.dialects) - 1)
}

func (k *counters) add(dialect uint8, n int64) {
	k.mu.Lock()
	d := k.dialects[dialect]
	k.mu.Unlock()
	d.open.Add(n)
	k.open.Add(n)
}

// Open is how many connections there are now.
func (s *Server) Open() int { return int(s.stats.open.Load()) }

// Stats reads the counters.
func (s *Server) Stats() Stats {
	stats := Stats{Connections: map[string]int{}, QueueBytes: s.stats.queueBytes.Load()}
	for i := range stats.Closes {
		stats.Closes[i] = s.stats.closes[i].Load()
	}
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	for _, d := range s.stats.dialects {
		stats.Connections[d.name] = int(d.open.Load())
	}
	return stats
}

// firstID keeps the ids of two runs of a gateway apart in logs: 40 random bits
// and room for 16 million connections before they meet the next ones.
func firstID() uint64 { return rand.Uint64() << 24 }
