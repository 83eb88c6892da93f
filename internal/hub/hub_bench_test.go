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

// sinks subscribes that many users, each to the channel of name.
func sinks(h *hub.Hub, users int, name func(user int) string) {
	e := h.Encoding("test", payload)
	bytes := new(atomic.Int64)
	for user := range users {
		s := &sink{bytes: bytes}
		h.Attach(&s.Conn, s, e, fmt.Sprint(user))
		h.Subscribe(&s.Conn, name(user))
	}
}

func toAll(int) string { return "news" }

func toOne(user int) string { return fmt.Sprint("#", user) }

// BenchmarkFanOut is one delivery of a publication with that many subscribers.
// They are published faster than they are delivered, so that frames are joined.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(subscribers), func(b *testing.B) {
			h := hub.New(0)
			sinks(h, subscribers, toAll)
			batch := []hub.Publication{publication("news", 1)}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += subscribers { // an operation is a delivery
				h.Publish(batch)
			}
			h.Close() // the deliveries count until the last one
		})
	}
}

// BenchmarkUnicast is one publication for one of 10,000 users.
func BenchmarkUnicast(b *testing.B) {
	const users = 10_000
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint("batches of ", size), func(b *testing.B) {
			h := hub.New(0)
			sinks(h, users, toOne)
			batches := make([][]hub.Publication, users/size)
			for i := range users {
				batches[i/size] = append(batches[i/size], publication(toOne(i), 1))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += size {
				h.Publish(batches[i/size%len(batches)])
			}
			h.Close()
		})
	}
}

// BenchmarkNobody is one publication that nobody here is subscribed to: what
// most are to one gateway of many.
func BenchmarkNobody(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint("batches of ", size), func(b *testing.B) {
			h := hub.New(0)
			defer h.Close()
			sinks(h, 10_000, toOne)
			var batch []hub.Publication
			for i := range size {
				batch = append(batch, publication(fmt.Sprint("#nobody", i), 1))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += size {
				h.Publish(batch)
			}
		})
	}
}

// BenchmarkClassify is what every payload goes through once.
func BenchmarkClassify(b *testing.B) {
	for name, payload := range map[string]string{
		"JSON":   `{"id":12345678,"type":"message","text":"a small notification, as most are"}`,
		"text":   "a small notification, as most are, but no JSON: one reads to the first letter",
		"binary": "\xff a small notification that is not UTF-8, which is seen at its first byte",
	} {
		b.Run(name, func(b *testing.B) {
			p := []byte(payload)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				hub.Classify(p)
			}
		})
	}
}
