package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
)

// ringAbove is a ring that reaches back to low and no further.
func ringAbove(low uint64) *ring {
	r := newRing(position.Channels, 100, 1<<20)
	r.reset("e1", low)
	return r
}

func (n *fetchNATS) deepReader() *deepReader {
	n.t.Helper()
	o := config.Default()
	o.NATS.URL = []string{n.server.ClientURL()}
	d := &deepReader{api: apiPrefix(""), log: slog.New(slog.DiscardHandler), dial: func(ctx context.Context) (*bus.Bus, error) {
		return bus.Dial(ctx, o, "", slog.New(slog.DiscardHandler))
	}}
	n.t.Cleanup(d.close)
	return d
}

func deepOf(r *ring, after uint64, maxBytes int, users ...int) deepQuery {
	q := deepQuery{stream: "S", ring: r, after: after, maxBytes: maxBytes}
	for _, user := range users {
		q.channels = append(q.channels, fmt.Sprint("#", user))
		q.subjects = append(q.subjects, fmt.Sprint("n.", user))
	}
	return q
}

type deepAnswer struct {
	batch []hub.Publication
	next  uint64
	err   error
}

func deepAsk(d *deepReader, q deepQuery) deepAnswer {
	answer := make(chan deepAnswer, 1)
	d.read(context.Background(), q, func(batch []hub.Publication, next uint64, err error) { answer <- deepAnswer{batch, next, err} })
	return <-answer
}

func TestOlderMergesChannelsUpToTheRing(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(30, 3, 10) // n.0 has 1, 4, 7 …, n.1 2, 5, 8 …
	d := n.deepReader()
	a := deepAsk(d, deepOf(ringAbove(15), 4, 1<<20, 0, 1, 99))
	if a.err != nil || a.next != 15 || !slices.Equal(seqsOf(a.batch), []uint64{5, 7, 8, 10, 11, 13, 14}) {
		t.Fatalf("%v, next %d, %v", seqsOf(a.batch), a.next, a.err)
	}
	p := a.batch[0]
	if p.Channel != "#1" || p.Stream != position.Channels || p.Epoch != "e1" || string(p.Payload) != "xxxxxxxxxx" || p.Class != hub.Text {
		t.Errorf("got %+v", p)
	}
	if a := deepAsk(d, deepOf(ringAbove(15), 15, 1<<20, 0)); a.err != nil || a.next != 15 || len(a.batch) != 0 {
		t.Errorf("nothing to read: %+v", a)
	}
	if a := deepAsk(d, deepOf(ringAbove(30), 28, 1<<20, 0)); a.err != nil || a.next != 30 || len(a.batch) != 0 {
		t.Errorf("nothing newer: %+v", a)
	}
}

func TestOlderPagesByBytesAndNumber(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(3300, 3, 10)
	r := ringAbove(3200)
	d := n.deepReader()
	for _, maxBytes := range []int{1, 25, 1000, 1 << 20} {
		var all []uint64
		after, pages := uint64(0), 0
		for ; after < 3200 && pages < 60; pages++ {
			a := deepAsk(d, deepOf(r, after, maxBytes, 0, 2))
			if a.err != nil || a.next <= after || maxBytes > 1 && len(a.batch)*10 > maxBytes {
				t.Fatalf("%d bytes, page %d: %d, next %d, %v", maxBytes, pages, len(a.batch), a.next, a.err)
			}
			all, after = append(all, seqsOf(a.batch)...), a.next
		}
		for i, seq := range all {
			if want := uint64(i/2*3 + 1 + i%2*2); seq != want {
				t.Fatalf("%d bytes: number %d is %d, not %d", maxBytes, i, seq, want)
			}
		}
		if maxBytes == 1<<20 && (len(all) != 2133 || pages != 2) {
			t.Errorf("%d in %d pages", len(all), pages)
		}
	}
}

func TestOlderSkipsWhatExpiredAndWhatWasRemoved(t *testing.T) {
	n := startFetchNATS(t)
	n.publish("n.1", "a", nil)
	n.publish("n.1", "b", nats.Header{"Nats-TTL": {"1h"}})
	n.publish("n.1", "c", nil)
	n.publish("n.2", "d", nil)
	if err := n.stream.DeleteMsg(n.ctx(), 3); err != nil {
		t.Fatal(err)
	}
	a := deepAsk(n.deepReader(), deepOf(ringAbove(4), 0, 1<<20, 1))
	if a.err != nil || a.next != 4 || !slices.Equal(seqsOf(a.batch), []uint64{1, 2}) || a.batch[1].Expires == 0 {
		t.Fatalf("%+v", a)
	}
	p := page{low: 10, now: 100, query: deepQuery{channels: []string{"a"}, ring: ringAbove(4)}}
	p.add(0, message{seq: 1, expires: 100})
	p.add(0, message{seq: 2, marker: true})
	p.add(0, message{seq: 11})
	p.add(0, message{seq: 3, expires: 101})
	if !slices.Equal(seqsOf(p.batch), []uint64{3}) {
		t.Errorf("kept %v", seqsOf(p.batch))
	}
}

func TestOlderSaysThatTheEpochChanged(t *testing.T) {
	n := startFetchNATS(t)
	if a := deepAsk(n.deepReader(), deepOf(newRing(position.Channels, 1, 1), 0, 1, 1)); !errors.Is(a.err, errEpoch) {
		t.Errorf("%+v", a)
	}
}

// A replica that is behind says that there is nothing; the leader knows better.
func TestOlderDoesNotBelieveAReplicaThatIsBehind(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(4, 1, 10)
	var behind atomic.Int32
	relay := func(what string) {
		if _, err := n.nc.Subscribe("fake."+what+".S", func(m *nats.Msg) {
			if what == "DIRECT.GET" && behind.Add(1) <= 2 {
				m.RespondMsg(&nats.Msg{Header: nats.Header{headerStatus: {"404"}}}) //nolint:errcheck // the test fails by what is missing
				return
			}
			n.nc.PublishMsg(&nats.Msg{Subject: "$JS.API." + what + ".S", Reply: m.Reply, Data: m.Data}) //nolint:errcheck // likewise
		}); err != nil {
			t.Fatal(err)
		}
	}
	relay("DIRECT.GET")
	relay("STREAM.MSG.GET")
	d := n.deepReader()
	d.api = "fake."
	a := deepAsk(d, deepOf(ringAbove(3), 0, 1<<20, 0))
	if a.err != nil || a.next != 3 || !slices.Equal(seqsOf(a.batch), []uint64{1, 2, 3}) || behind.Load() != 5 { // in vain twice, then one by one
		t.Errorf("%v, next %d, %v; asked %d times", seqsOf(a.batch), a.next, a.err, behind.Load())
	}
}

func TestDeepReadsWaitInLine(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 1, 10)
	hold := make(chan struct{})
	d := n.deepReader()
	dial := d.dial
	d.dial = func(ctx context.Context) (*bus.Bus, error) {
		<-hold
		return dial(ctx)
	}
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	ctx, cancel := context.WithCancelCause(context.Background())
	gone := errors.New("the client left")
	for i := range 40 {
		all.Add(1)
		own := context.Background()
		if i == 20 {
			own = ctx
		}
		d.read(own, deepOf(ringAbove(5), 0, 1<<20, 0), func(batch []hub.Publication, next uint64, err error) {
			defer all.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
			if i == 20 && !errors.Is(err, gone) || i != 20 && (err != nil || len(batch) != 5 || next != 5) {
				t.Errorf("%d: %d, next %d, %v", i, len(batch), next, err)
			}
		})
	}
	if got := d.waiting(); got != 40-deepAtOnce {
		t.Errorf("%d wait", got)
	}
	cancel(gone)
	for end := time.Now().Add(fetchPatience); d.waiting() != 39-deepAtOnce; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait", d.waiting())
		}
	}
	close(hold)
	all.Wait()
	if len(order) != 40 || order[0] != 20 {
		t.Errorf("order %v", order)
	}
}

func TestDeepReaderCloses(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 1, 10)
	d := n.deepReader()
	if a := deepAsk(d, deepOf(ringAbove(5), 0, 1<<20, 0)); a.err != nil {
		t.Fatal(a.err)
	}
	d.close()
	if a := deepAsk(d, deepOf(ringAbove(5), 0, 1<<20, 0)); !errors.Is(a.err, errClosed) {
		t.Errorf("%+v", a)
	}
}

// A connection that NATS closed for good is made anew.
func TestDeepReaderConnectsAgain(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 1, 10)
	d := n.deepReader()
	for range 2 {
		for range deepConns {
			if a := deepAsk(d, deepOf(ringAbove(5), 0, 1<<20, 0)); a.err != nil || len(a.batch) == 0 {
				t.Fatalf("%+v", a)
			}
		}
		for i := range d.links {
			d.links[i].bus.Conn().Close()
		}
	}
}

// Clients wait in silence for what can't be read: the log says so, and why.
func TestDeepReaderComplains(t *testing.T) {
	n := startFetchNATS(t)
	d := n.deepReader()
	var text bytes.Buffer
	d.log = slog.New(slog.NewTextHandler(&text, nil))
	d.dial = func(context.Context) (*bus.Bus, error) { return nil, errors.New("maximum connections exceeded") }
	for range 3 {
		if a := deepAsk(d, deepOf(ringAbove(5), 0, 1<<20, 0)); a.err == nil {
			t.Fatalf("%+v", a)
		}
	}
	d.mu.Lock() // the complaint comes behind the answer
	defer d.mu.Unlock()
	if lines := strings.Count(text.String(), "\n"); lines != 1 || !strings.Contains(text.String(), "maximum connections exceeded") {
		t.Errorf("%d lines: %s", lines, &text)
	}
}

// A random history: whatever the ring and the stream have between them is
// read, once and in order, in pages that go over from one to the other.
func TestOlderAndRecentTogetherGiveTheWholeHistory(t *testing.T) {
	n := startFetchNATS(t)
	d := n.deepReader()
	random := rand.New(rand.NewPCG(3, 3))
	r := newRing(position.Channels, 200, 1<<20)
	r.reset("e1", 0)
	history := map[string][]uint64{}
	for seq := uint64(1); seq <= 800; seq++ {
		user := random.IntN(6)
		payload := fmt.Sprint(seq)
		n.publish(fmt.Sprint("n.", user), payload, nil)
		r.apply([]entry{put(seq, fmt.Sprint("#", user), payload)}, seq)
		history[fmt.Sprint("#", user)] = append(history[fmt.Sprint("#", user)], seq)
	}
	for range 40 {
		users := random.Perm(6)[:1+random.IntN(6)]
		start, maxBytes := uint64(random.IntN(801)), 1+random.IntN(2000)
		q := deepOf(r, start, maxBytes, users...)
		var want, got []uint64
		for _, channel := range q.channels {
			want = append(want, history[channel]...)
		}
		slices.Sort(want)
		want = slices.DeleteFunc(want, func(seq uint64) bool { return seq <= start })
		for q.after < 800 {
			batch, next, ok := r.recent(q.channels, q.after, 800, maxBytes)
			if !ok {
				a := deepAsk(d, q)
				if a.err != nil {
					t.Fatal(a.err)
				}
				batch, next = a.batch, a.next
			}
			for _, p := range batch {
				if string(p.Payload) != fmt.Sprint(p.Seq) {
					t.Fatalf("%d carries %q", p.Seq, p.Payload)
				}
			}
			if next <= q.after {
				t.Fatalf("no progress at %d", next)
			}
			got, q.after = append(got, seqsOf(batch)...), next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %d: got %d, want %d", start, len(got), len(want))
		}
	}
}
