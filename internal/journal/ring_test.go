package journal

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
)

func ringOf(entries, bytes int) *ring {
	r := newRing(position.Notifications, entries, bytes)
	r.reset("e1", 0)
	return r
}

func put(seq uint64, channel, payload string) entry {
	return entry{seq: seq, time: int64(seq) * 1000, channel: channel, class: hub.Text, payload: []byte(payload)}
}

func seqsOf(batch []hub.Publication) []uint64 {
	seqs := []uint64{}
	for _, p := range batch {
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

func TestRingSaysNothingBeforeItIsReset(t *testing.T) {
	r := newRing(position.Notifications, 10, 1<<20)
	if _, _, ok := r.recent([]string{"#1"}, 0, 0, 1); ok {
		t.Error("a ring without an epoch answered")
	}
}

func TestRingMergesChannelsBySequence(t *testing.T) {
	r := ringOf(100, 1<<20)
	r.apply([]entry{put(1, "a", "1"), put(2, "b", "2"), put(4, "c", "4"), put(5, "a", "5"), put(9, "b", "9")}, 12)
	batch, next, ok := r.recent([]string{"a", "b", "nobody"}, 1, 12, 1<<20)
	if !ok || next != 12 || !slices.Equal(seqsOf(batch), []uint64{2, 5, 9}) {
		t.Fatalf("got %v, next %d, ok %v", seqsOf(batch), next, ok)
	}
	p := batch[1]
	if p.Channel != "a" || string(p.Payload) != "5" || p.Class != hub.Text || p.Stream != position.Notifications || p.Epoch != "e1" || p.Expires != 0 {
		t.Errorf("got %+v", p)
	}
}

func TestRingRespectsUntil(t *testing.T) {
	r := ringOf(100, 1<<20)
	r.apply([]entry{put(1, "a", "1"), put(2, "a", "2"), put(3, "a", "3")}, 3)
	for until, want := range [][]uint64{{}, {1}, {1, 2}, {1, 2, 3}} {
		batch, next, ok := r.recent([]string{"a"}, 0, uint64(until), 1<<20)
		if !ok || next != uint64(until) || !slices.Equal(seqsOf(batch), want) {
			t.Errorf("until %d: got %v, next %d, ok %v", until, seqsOf(batch), next, ok)
		}
	}
	// What it does not have yet it has not read.
	if _, next, ok := r.recent([]string{"a"}, 0, 7, 1<<20); !ok || next != 3 {
		t.Errorf("until beyond the end: next %d, ok %v", next, ok)
	}
	if _, next, ok := r.recent([]string{"a"}, 9, 3, 1<<20); !ok || next != 9 {
		t.Errorf("after beyond until: next %d, ok %v", next, ok)
	}
}

func TestRingStopsAtMaxBytesButGivesOne(t *testing.T) {
	r := ringOf(100, 1<<20)
	r.apply([]entry{put(1, "a", "xxxx"), put(2, "a", "xxxx"), put(3, "a", "xxxx")}, 3)
	for _, c := range []struct {
		bytes int
		want  []uint64
		next  uint64
	}{{0, []uint64{1}, 1}, {3, []uint64{1}, 1}, {8, []uint64{1, 2}, 2}, {11, []uint64{1, 2}, 2}, {12, []uint64{1, 2, 3}, 3}} {
		batch, next, ok := r.recent([]string{"a"}, 0, 3, c.bytes)
		if !ok || next != c.next || !slices.Equal(seqsOf(batch), c.want) {
			t.Errorf("%d bytes: got %v, next %d, ok %v", c.bytes, seqsOf(batch), next, ok)
		}
	}
}

func TestRingSkipsExpiredAndRemoved(t *testing.T) {
	r := ringOf(100, 1<<20)
	now := time.Now().UnixNano()
	old, fresh := put(1, "a", "1"), put(2, "a", "2")
	old.time, old.expires = now-int64(10*time.Second), now-int64(5*time.Second)
	fresh.time, fresh.expires = now, now+int64(time.Hour)
	r.apply([]entry{old, fresh, put(3, "a", "3"), put(4, "a", "4")}, 4)
	r.remove(3, 77)
	batch, next, ok := r.recent([]string{"a"}, 0, 4, 1<<20)
	if !ok || next != 4 || !slices.Equal(seqsOf(batch), []uint64{2, 4}) {
		t.Fatalf("got %v, next %d, ok %v", seqsOf(batch), next, ok)
	}
	if batch[0].Expires != fresh.expires {
		t.Errorf("expires %d, not %d", batch[0].Expires, fresh.expires)
	}
}

func TestRingForgetsWhatTheStreamDoesNotRetain(t *testing.T) {
	r := ringOf(1000, 1<<20)
	var batch []entry
	for seq := range uint64(600) {
		batch = append(batch, put(seq+1, "a", "x"))
	}
	r.apply(batch, 600)
	r.expire(501)
	got, next, ok := r.recent([]string{"a"}, 0, 600, 1<<20)
	if !ok || next != 600 || len(got) != 100 || got[0].Seq != 501 {
		t.Fatalf("got %d from %v, next %d, ok %v", len(got), seqsOf(got[:1]), next, ok)
	}
	if n, _ := r.size(); n != 100 || r.low() != 0 {
		t.Errorf("holds %d, low %d: want 100, and 0 as it still reaches back to there", n, r.low())
	}
	r.expire(1000)
	if got, _, ok := r.recent([]string{"a"}, 0, 600, 1<<20); !ok || len(got) != 0 {
		t.Errorf("after a purge: %v, ok %v", seqsOf(got), ok)
	}
}

func TestRingEvictsByNumberAndTellsHowFarItReaches(t *testing.T) {
	r := ringOf(10, 1<<20)
	for seq := range uint64(1000) {
		r.apply([]entry{put(seq+1, fmt.Sprint("#", seq%7), "x")}, seq+1)
	}
	if r.low() != 990 || r.high() != 1000 {
		t.Fatalf("reaches from %d to %d", r.low(), r.high())
	}
	if _, _, ok := r.recent([]string{"#1"}, 989, 1000, 100); ok {
		t.Error("answered for what it does not have")
	}
	if len(r.heads) != 7 {
		t.Errorf("%d chains, not 7", len(r.heads))
	}
}

func TestRingStaysWithinItsBytes(t *testing.T) {
	const bound = 4 << 20
	for _, size := range []int{0, 100, 4000, 5000, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := ringOf(1<<20, bound)
			payload := strings.Repeat("x", size)
			for seq := range uint64(30_000) {
				if size >= 4000 && seq > 2000 || size > 5000 && seq > 40 {
					break
				}
				r.apply([]entry{put(seq+1, fmt.Sprint("#", seq), payload)}, seq+1)
				if _, used := r.size(); used > bound {
					t.Fatalf("%d bytes at %d", used, seq)
				}
			}
			n, used := r.size()
			if size > 0 && used < bound/2 || n < 2 {
				t.Errorf("holds only %d in %d bytes", n, used)
			}
			r.expire(1 << 40)
			if _, used := r.size(); used > bound/2 {
				t.Errorf("empty, and takes %d bytes", used)
			}
		})
	}
}

func TestRingTakesOneThatIsLargerThanItself(t *testing.T) {
	r := ringOf(10, 1000)
	r.apply([]entry{put(1, "a", "small"), put(2, "a", strings.Repeat("x", 5000)), put(3, "a", "small")}, 3)
	if batch, _, ok := r.recent([]string{"a"}, 2, 3, 100); !ok || len(batch) != 1 {
		t.Errorf("got %v, ok %v", seqsOf(batch), ok)
	}
}

func TestRingFindsTimes(t *testing.T) {
	r := ringOf(10, 1<<20)
	r.apply([]entry{put(3, "a", ""), put(5, "b", ""), put(8, "a", "")}, 9)
	for seq, want := range map[uint64]int64{3: 3000, 5: 5000, 8: 8000} {
		if at, ok := r.timeOf(seq); !ok || at != want {
			t.Errorf("%d: %d, %v", seq, at, ok)
		}
	}
	for _, seq := range []uint64{0, 4, 9} {
		if _, ok := r.timeOf(seq); ok {
			t.Errorf("has a time for %d", seq)
		}
	}
	var seen []uint64
	r.newest(func(seq uint64, at int64) bool {
		seen = append(seen, seq)
		return at > 5000
	})
	if !slices.Equal(seen, []uint64{8, 5}) {
		t.Errorf("newest first: %v", seen)
	}
}

// Two channels with one hash share a chain; the seed can't be chosen, so the
// collision is made in the table.
func TestRingTellsChannelsOfOneHashApart(t *testing.T) {
	r := ringOf(100, 1<<20)
	r.mu.Lock()
	for i, e := range []entry{put(1, "a", "1"), put(2, "b", "2"), put(3, "b", "3"), put(4, "a", "4")} {
		place := uint32(i)
		b := r.blockFor(place)
		r.count++
		s := b.at(place)
		*s = slot{seq: e.seq, name: 1, size: 1, next: place}
		r.store(b, s, &e)
		r.link(place, s, 42)
	}
	r.upTo = 4
	walks := []walk{{channel: "a", place: 0, slot: r.slotAt(0)}}
	r.step(&walks[0])
	if walks[0].slot == nil || walks[0].slot.seq != 4 {
		t.Errorf("walked to %+v", walks[0].slot)
	}
	r.mu.Unlock()
}

// The ring against a slice that does the same in the plainest way.
func TestRingAgreesWithASlice(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 7))
		m := &ringModel{entries: 1 + random.IntN(700), channels: 1 + random.IntN(9)}
		r := ringOf(m.entries, 1<<30)
		for range 100 {
			switch random.IntN(20) {
			case 0:
				first := m.upTo - min(m.upTo, uint64(random.IntN(400)))
				r.expire(first)
				m.floor = max(m.floor, first)
			case 1:
				seq := m.upTo - min(m.upTo, uint64(random.IntN(20)))
				r.remove(seq)
				m.gone = append(m.gone, seq)
			case 2:
				if random.IntN(20) == 0 {
					m.list, m.upTo, m.above, m.floor = nil, uint64(random.IntN(1000)), 0, 0
					m.above = m.upTo
					m.gone = nil
					r.reset("e2", m.upTo)
				}
			default:
				batch, upTo := m.publish(random)
				r.apply(batch, upTo)
			}
			m.compare(t, random, r, seed)
		}
	}
}

type ringModel struct {
	entries, channels  int
	gone               []uint64
	list               []entry
	above, upTo, floor uint64
}

func (m *ringModel) publish(random *rand.Rand) (batch []entry, upTo uint64) {
	for range random.IntN(150) {
		m.upTo += 1 + uint64(random.IntN(3)*random.IntN(2))
		size := random.IntN(20)
		if random.IntN(50) == 0 {
			size = ownSize + random.IntN(10)
		}
		e := put(m.upTo, fmt.Sprint("c", random.IntN(m.channels)), strings.Repeat(string(rune('a'+random.IntN(26))), size))
		batch = append(batch, e)
		m.list = append(m.list, e)
	}
	m.upTo += uint64(random.IntN(2))
	return batch, m.upTo
}

func (m *ringModel) compare(t *testing.T, random *rand.Rand, r *ring, seed uint64) {
	t.Helper()
	low := r.low()
	if low > m.upTo || low < m.above {
		t.Fatalf("seed %d: low %d, before %d, up to %d", seed, low, m.above, m.upTo)
	}
	held := 0
	for _, e := range m.list {
		if e.seq > low && e.seq >= m.floor {
			held++
		}
	}
	// It may reach less far only if it is full.
	if n, _ := r.size(); low > m.above && n < m.entries && m.floor < low {
		t.Fatalf("seed %d: holds %d of %d, but reaches only to %d", seed, n, m.entries, low)
	} else if held > n {
		t.Fatalf("seed %d: holds %d, should have at least %d", seed, n, held)
	}
	m.above = low
	var channels []string
	for i := range m.channels {
		if random.IntN(2) == 0 {
			channels = append(channels, fmt.Sprint("c", i))
		}
	}
	from := low + uint64(random.IntN(int(m.upTo-low)+1))
	until := from + uint64(random.IntN(int(m.upTo-from)+1))
	maxBytes := random.IntN(300)
	want, next := m.recent(channels, from, until, maxBytes)
	got, gotNext, ok := r.recent(channels, from, until, maxBytes)
	if !ok || gotNext != next || !slices.EqualFunc(got, want, func(p hub.Publication, e entry) bool {
		return p.Seq == e.seq && p.Channel == e.channel && bytes.Equal(p.Payload, e.payload)
	}) {
		t.Fatalf("seed %d: %v (%d, %d], %d bytes: got %v next %d ok %v, want %d next %d", seed, channels, from, until, maxBytes, seqsOf(got), gotNext, ok, len(want), next)
	}
}

func (m *ringModel) recent(channels []string, after, until uint64, maxBytes int) (batch []entry, next uint64) {
	size := 0
	next = after
	for _, e := range m.list {
		if e.seq <= after || e.seq > until || !slices.Contains(channels, e.channel) {
			continue
		}
		if e.seq >= m.floor && !slices.Contains(m.gone, e.seq) {
			size += len(e.payload)
			if len(batch) > 0 && size > maxBytes {
				return batch, next
			}
			batch = append(batch, e)
		}
		next = e.seq
	}
	return batch, until
}

// Any older entry must be a few steps away: a channel with many entries is
// read in pages, with a lock held.
func TestRingFindsTheStartOfALongChainInFewSteps(t *testing.T) {
	r := ringOf(20_000, 64<<20)
	for seq := range uint64(50_000) {
		r.apply([]entry{put(seq+1, "all", "")}, seq+1)
	}
	worst := 0
	for after := r.low(); after < 50_000; after += 197 {
		steps := 0
		for place := r.heads[maphash.String(r.seed, "all")]; ; steps++ {
			s := r.slotAt(place)
			if r.has(s.jump) && r.slotAt(s.jump).seq > after {
				place = s.jump
			} else if r.has(s.prev) && r.slotAt(s.prev).seq > after {
				place = s.prev
			} else {
				break
			}
		}
		worst = max(worst, steps)
	}
	if worst > 100 {
		t.Errorf("%d steps", worst)
	}
}

func TestRingHasOneWriterAndManyReaders(t *testing.T) {
	r := ringOf(2000, 1<<20)
	var done atomic.Bool
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for !done.Load() {
				low, high := r.low(), r.high()
				after := low + uint64(random.IntN(int(high-low)+1))
				batch, next, ok := r.recent([]string{"#1", "#2", "#3"}, after, high, 1000)
				if !ok {
					continue // overtaken by the writer
				}
				for _, p := range batch {
					if want := fmt.Sprint(p.Seq); string(p.Payload) != want || p.Seq <= after || p.Seq > next {
						t.Errorf("%d: payload %q, next %d", p.Seq, p.Payload, next)
					}
					after = p.Seq
				}
			}
		})
	}
	for seq := uint64(1); seq <= 60_000; {
		var batch []entry
		for range 100 {
			batch = append(batch, put(seq, fmt.Sprint("#", seq%11), fmt.Sprint(seq)))
			seq++
		}
		r.apply(batch, seq-1)
		if seq%5000 == 1 {
			r.expire(seq - 500)
		}
	}
	done.Store(true)
	readers.Wait()
}

func BenchmarkRingApply(b *testing.B) {
	for _, users := range []int{100, 100_000} {
		b.Run(fmt.Sprint(users, "users"), func(b *testing.B) {
			names := make([]string, users)
			for i := range names {
				names[i] = fmt.Sprint("#", 100000+i)
			}
			payload := bytes.Repeat([]byte("x"), 128)
			r := ringOf(ringEntries, ringBytes)
			batch := make([]entry, 100)
			seq := uint64(0)
			fill := func() {
				for i := range batch {
					seq++
					batch[i] = entry{seq: seq, time: int64(seq), channel: names[seq*7919%uint64(users)], payload: payload}
				}
				r.apply(batch, seq)
			}
			for seq < 2*ringEntries {
				fill()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + 99) / 100 {
				fill()
			}
			n, used := r.size()
			b.ReportMetric(float64(used)/float64(n), "B/entry")
		})
	}
}

func BenchmarkRingRecent(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 128)
	for _, c := range []struct{ users, missed int }{{100_000, 1}, {20_000, 10}, {2_000, 100}, {1, 100}} {
		b.Run(fmt.Sprint(c.missed, "missed of ", c.users, "users"), func(b *testing.B) {
			names := make([]string, c.users)
			for i := range names {
				names[i] = fmt.Sprint("#", 100000+i)
			}
			r := ringOf(ringEntries, ringBytes)
			batch := make([]entry, 100)
			seq := uint64(0)
			for seq < 2*ringEntries {
				for i := range batch {
					seq++
					batch[i] = entry{seq: seq, time: int64(seq), channel: names[seq%uint64(c.users)], payload: payload}
				}
				r.apply(batch, seq)
			}
			after := max(r.low(), seq-uint64(c.users*c.missed))
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for i := range b.N {
				batch, _, ok := r.recent(names[i*7919%c.users:][:1], after, seq, 1<<20)
				if !ok {
					b.Fatal("not in the ring")
				}
				n += len(batch)
			}
			b.ReportMetric(float64(n)/float64(b.N), "publications/op")
		})
	}
}

// A page from far back in a channel with all 262,144 entries.
func BenchmarkRingRecentPageOfALongChain(b *testing.B) {
	r := ringOf(ringEntries, ringBytes)
	for seq := range uint64(ringEntries) {
		r.apply([]entry{put(seq+1, "all", "x")}, seq+1)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, _, ok := r.recent([]string{"all"}, 0, ringEntries, 100); !ok {
			b.Fatal("not in the ring")
		}
	}
}
