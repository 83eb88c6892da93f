package journal

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/subject"
)

// cursorsOnNothing have a bucket that is always empty, and takes whatever is
// put.
func cursorsOnNothing() *Cursors {
	s := &cursorStore{stream: "KV_X", subject: "$KV.X.", api: "$JS.API."}
	var rev atomic.Uint64
	s.request = func(m *nats.Msg, _ time.Duration, done func(*nats.Msg, error)) func() bool {
		if len(m.Data) > 0 {
			done(&nats.Msg{Data: fmt.Appendf(nil, `{"seq":%d}`, rev.Add(1))}, nil)
		} else {
			done(&nats.Msg{Header: nats.Header{headerStatus: {"404"}}}, nil)
		}
		return func() bool { return false }
	}
	return makeCursors(s, subject.Default(""), slog.New(slog.DiscardHandler))
}

// A connected user with one connection costs no more than 150 bytes, what the
// caller keeps of the user's id aside.
func TestCursorMemory(t *testing.T) {
	const n = 100_000
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprint(1_000_000 + i)
	}
	cursors := make([]hub.Cursor, n)
	k := cursorsOnNothing()
	before := cursorHeap()
	for i, user := range users {
		k.Open(user, "", openIn("e1"), true, func(_ uint64, _ bool, _ string, c hub.Cursor, err error) {
			c.(*cursor).Reset(position.Mark{Epoch: "e1", Seq: uint64(i)})
			cursors[i] = c
		})
	}
	k.writes.flushing++
	for k.Stats().Dirty > 0 {
		k.step()
	}
	each := (cursorHeap() - before) / n
	t.Logf("%d bytes per user with one connection", each)
	if each > 150 {
		t.Errorf("%d bytes per user, want at most 150", each)
	}
	if s := k.Stats(); s.Users != n || s.Writes != n {
		t.Errorf("counted %+v", s)
	}
	for _, c := range cursors {
		c.Close()
	}
	if len(k.table) != 0 {
		t.Errorf("%d users are left", len(k.table))
	}
	runtime.KeepAlive(users)
}

func cursorHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkCursorConfirm(b *testing.B) {
	k := cursorsOnNothing()
	var c *cursor
	k.Open("42", "", openIn("e1"), true, func(_ uint64, _ bool, _ string, got hub.Cursor, _ error) { c = got.(*cursor) })
	for i := range b.N {
		c.Sent(uint64(i))
		c.Confirm(uint64(i))
	}
}

// BenchmarkCursorOpens is 10,000 users at once on an embedded NATS: with
// nothing stored, with a record, and with a ticket each to be taken; and
// writing 10,000 records.
func BenchmarkCursorOpens(b *testing.B) {
	const n = 10_000
	g := cursorsOn(b, cursorBus(b))
	g.now, g.date = time.Now, time.Now
	storm := func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			for i := range n {
				g.set(fmt.Sprint(i), record{"e1", 10, []ticket{newTicket(5, time.Now())}})
			}
			b.StartTimer()
			took, _ := cursorStorm(g, n)
			b.ReportMetric(took.Seconds()*1000, "ms/storm")
		}
	}
	b.Run("none", func(b *testing.B) {
		for range b.N {
			took, _ := cursorStorm(g, n)
			b.ReportMetric(took.Seconds()*1000, "ms/storm")
		}
	})
	b.Run("flush", func(b *testing.B) {
		for i := range b.N {
			b.StopTimer()
			g.mu.Lock()
			for _, e := range g.table {
				e.known, e.confirmed = true, uint64(1000+i)
				g.soil(e)
			}
			g.mu.Unlock()
			b.StartTimer()
			began, done := time.Now(), make(chan error, 1)
			go func() { done <- g.Flush(context.Background()) }()
			for len(done) == 0 {
				<-g.wake
				g.step()
			}
			b.ReportMetric(time.Since(began).Seconds()*1000, "ms/flush")
		}
	})
	b.Run("records", func(b *testing.B) {
		for range b.N {
			took, _ := cursorStorm(g, n)
			b.ReportMetric(took.Seconds()*1000, "ms/storm")
		}
	})
	b.Run("tickets", storm)
}
