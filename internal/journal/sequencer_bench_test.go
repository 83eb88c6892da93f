package journal

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/subject"
)

type noHub struct{}

func (noHub) Publish([]hub.Publication)                             {}
func (noHub) Advance(position.Stream, position.Mark)                {}
func (noHub) Reset(position.Stream, position.Mark, hub.ResetReason) {}

// BenchmarkApply is one message from the consumer's channel to ring and hub, in
// batches of 100, of 10,000 users.
func BenchmarkApply(b *testing.B) {
	src := sources(subject.Default(""))[0]
	s := newSequencer(src, nil, "", noHub{}, nil, newRing(src.id, ringEntries, ringBytes), slog.New(slog.NewTextHandler(io.Discard, nil)), usual)
	s.ring.reset("e", 0)
	s.setView(view{epoch: "e", first: 1})
	const users = 10_000
	msgs := make([]*nats.Msg, users)
	for i := range msgs {
		msgs[i] = &nats.Msg{
			Subject: fmt.Sprint("notification.", i),
			Header:  nats.Header{"Nats-Msg-Id": {fmt.Sprintf("notification.%d:%d", i, i)}},
			Data:    []byte(`{"id":12345678,"type":"message","text":"a small notification, as most are"}`),
		}
	}
	var reply []byte
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		m := msgs[n%users]
		reply = append(strconv.AppendInt(append(reply[:0], "$JS.ACK.BELFRY_NOTIFICATIONS.belfry-abc.1."...), int64(n)+1, 10), ".1.1700000000000000000.0"...)
		m.Reply = string(reply) // the one allocation that is the benchmark's own
		s.offer(m)
		if n%100 == 99 {
			s.apply()
		}
	}
}

// A counting is a hub that counts.
type counting struct {
	noHub
	n atomic.Int64
}

func (c *counting) Publish(batch []hub.Publication) { c.n.Add(int64(len(batch))) }

func (c *counting) reach(b *testing.B, n int64) {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); c.n.Load() < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d", c.n.Load(), n)
		}
	}
}

func benchWorld(b *testing.B) *world {
	w := newWorld(b)
	w.pace, w.o.Stream.MaxBytes, w.o.NATS.Prefix = usual, 1<<30, "bench"
	w.backend = w.bus()
	w.ensure()
	return w
}

// BenchmarkLatency is from a publish with ack to the hub, one at a time.
func BenchmarkLatency(b *testing.B) {
	w := benchWorld(b)
	h := &counting{}
	w.gatewayOf(h)
	subj, n := mustSubject(b, w, "#1"), int64(0)
	for b.Loop() {
		if _, err := w.backend.JetStream().PublishAsync(subj, []byte("x")); err != nil {
			b.Fatal(err)
		}
		n++
		h.reach(b, n)
	}
}

// BenchmarkThroughput is a publication from many that are published as fast as
// the server takes them, to the hub; NATS, which is in the same process, included.
func BenchmarkThroughput(b *testing.B) {
	w := benchWorld(b)
	h := &counting{}
	j := w.gatewayOf(h)
	w.publishAsync(b.N, 10_000)
	h.reach(b, int64(b.N))
	b.Logf("%+v", j.Stats().Streams[0])
}

// BenchmarkStart is a start where more is stored than it reads.
func BenchmarkStart(b *testing.B) {
	w := benchWorld(b)
	w.publishAsync(fillEntries+1000, 10_000)
	for b.Loop() {
		w.gatewayOf(noHub{})
	}
}
