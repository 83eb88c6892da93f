package hub_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A sink is a connection that counts the bytes it is written.
type sink struct {
	hub.Conn
	bytes *atomic.Int64
}

func (s *sink) Idle() bool          { return true }
func (s *sink) Reset(position.Mark) {}

func (s *sink) Deliver(b []byte, _ uint64) { s.bytes.Add(int64(len(b))) }

// BenchmarkFanOut is one delivery of a publication with 1,000 subscribers.
func BenchmarkFanOut(b *testing.B) {
	h := hub.New(0)
	e := h.Encoding("test", payload)
	const subscribers = 1000
	bytes := new(atomic.Int64)
	for user := range subscribers {
		s := &sink{bytes: bytes}
		h.Attach(&s.Conn, s, e, fmt.Sprint(user))
		h.Subscribe(&s.Conn, "news")
	}
	batch := []hub.Publication{publication("news", 1)}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += subscribers {
		h.Publish(batch)
	}
	h.Close()
}

// BenchmarkUnicast is one publication for one of 10,000 users.
func BenchmarkUnicast(b *testing.B) {
	h := hub.New(0)
	e := h.Encoding("test", payload)
	const users = 10_000
	bytes := new(atomic.Int64)
	batches := make([][]hub.Publication, users)
	for user := range users {
		s := &sink{bytes: bytes}
		h.Attach(&s.Conn, s, e, fmt.Sprint(user))
		h.Subscribe(&s.Conn, fmt.Sprint("#", user))
		batches[user] = []hub.Publication{publication(fmt.Sprint("#", user), 1)}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		h.Publish(batches[i%users])
	}
	h.Close()
}

// BenchmarkNobody is one publication that nobody here is subscribed to: what
// most are to one gateway of many.
func BenchmarkNobody(b *testing.B) {
	h := hub.New(0)
	defer h.Close()
	batch := []hub.Publication{publication("#1", 1)}
	b.ReportAllocs()
	for range b.N {
		h.Publish(batch)
	}
}
