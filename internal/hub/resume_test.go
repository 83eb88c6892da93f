package hub_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
)

func TestResumeFromMemoryThenLive(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 20)...)
		m.publish("#2", 100)
		m.publish("#1", 21)
		r := resume(h, e, "n-e-5", false, "#1")
		synctest.Wait()
		m.publish("#1", 22)
		synctest.Wait()
		equal(t, "the client", r.received(), count(6, 22)...)
		if r.at != "n-e-n" { // 23 in base36
			t.Errorf("it stands at %s", r.at)
		}
		if s := h.Stats(); s.FromRing != 16 || s.FromStream != 0 || s.CatchingUp != 0 {
			t.Errorf("stats %+v", s)
		}
		if last := r.marks[len(r.marks)-1]; last != 23 {
			t.Errorf("marks %v", r.marks)
		}
	})
}

func TestResumeFromTheStream(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 50)...)
		m.forget(10)
		m.fail = 2
		r := resume(h, e, "", false, "#1")
		time.Sleep(10 * time.Second) // the bubble's: failed reads are rested
		synctest.Wait()
		equal(t, "the client", r.received(), count(1, 50)...)
		if s := h.Stats(); s.FromStream != 40 || s.FromRing != 10 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The next batch is read when the last one has gone out, and what is published
// meanwhile is not queued.
func TestReplayIsPulledByTheSocket(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 30)...)
		r := resume(h, e, "", true, "#1")
		for round := 1; len(r.received()) < 40; round++ {
			synctest.Wait()
			if got := len(r.received()); got > 3*round {
				t.Fatalf("%d publications after %d batches of 3", got, round)
			}
			if round <= 10 {
				m.publish("#1", uint64(30+round))
			}
			r.drain()
		}
		r.slow = false
		m.publish("#1", 41)
		synctest.Wait()
		equal(t, "the client", r.received(), count(1, 41)...)
	})
}

// A client that was at another gateway may have seen more than this one has.
func TestClientAheadOfTheGateway(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", 1, 2)
		r := resume(h, e, "n-e-4", false, "#1")
		synctest.Wait()
		m.publish("#1", 3)
		synctest.Wait()
		m.publish("#1", 4, 5)
		synctest.Wait()
		equal(t, "the client", r.received(), 5)
	})
}

// Both streams of a connection: each position says "everything up to here".
func TestTwoStreams(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications, position.Channels)
		m.publish("#1", 1, 2)
		m.publish("news", 11, 12, 13, 14)
		m.publish("#1", 3)
		r := resume(h, e, "n-e-1_c-e-1", false, "#1", "news")
		synctest.Wait()
		equal(t, "the client", r.received(), 2, 3, 12, 13, 14)
		m.publish("other", 99)
		m.publish("news", 15)
		m.publish("#1", 4)
		synctest.Wait()
		if r.at != "n-e-4_c-e-6" {
			t.Errorf("it stands at %s", r.at)
		}
	})
}

func TestLiveOnlyWhileCatchingUp(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 9)...)
		r := resume(h, e, "", true, "#1")
		synctest.Wait()
		h.Publish([]hub.Publication{publication("#1", 1000)})
		synctest.Wait()
		equal(t, "the client", r.received(), 1, 2, 3, 1000)
		for range 5 {
			r.drain()
			synctest.Wait()
		}
		equal(t, "the client", r.received(), 1, 2, 3, 1000, 4, 5, 6, 7, 8, 9)
	})
}

// A reset is told to those who are live and to those who are being caught up
// with, before anything that follows it.
// What a client was still to be sent is gone before it is read: it is told, once,
// and goes on with what there is, from memory and from the stream.
func TestOvertakenByTheRetention(t *testing.T) {
	for name, memory := range map[string]uint64{"memory": 100, "stream": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
				e := encoding(h, position.Notifications)
				m.publish("#1", count(1, 20)...)
				m.forget(memory)
				r := resume(h, e, "n-e-1", true, "#1")
				drain := func() {
					r.drain()
					synctest.Wait()
				}
				synctest.Wait()
				drain() // two batches of three
				m.mu.Lock()
				m.gone[position.Notifications-1] = 15
				m.mu.Unlock()
				for range 10 {
					drain()
				}
				m.publish("#1", 21)
				synctest.Wait()
				equal(t, "the client", r.received(), append(count(2, 7), count(16, 21)...)...)
				if !slices.Equal(r.resets, []string{"n-e-f"}) {
					t.Errorf("it was told to reset at %q", r.resets)
				}
				if s := h.Stats(); s.Resets[hub.ResetExpired] != 1 {
					t.Errorf("resets %v", s.Resets)
				}
			})
		})
	}
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 9)...)
		live, slow := resume(h, e, "n-e-9", false, "#1"), resume(h, e, "", true, "#1")
		synctest.Wait()
		m.mu.Lock()
		m.all[0] = nil
		m.mu.Unlock()
		h.Reset(position.Notifications, position.Mark{Epoch: "new"}, hub.ResetEpoch)
		synctest.Wait()
		p := publication("#1", 50)
		p.Stream, p.Epoch, p.Seq = position.Notifications, "new", 1
		m.mu.Lock()
		m.all[0] = append(m.all[0], p)
		m.mu.Unlock()
		h.Publish([]hub.Publication{p})
		for range 5 {
			slow.drain()
			synctest.Wait()
		}
		equal(t, "the live client", live.received(), 50)
		equal(t, "the slow client", slow.received(), 1, 2, 3, 50)
		for _, r := range []*reader{live, slow} {
			if fmt.Sprint(r.resets) != "[n-new-0]" || r.at != "n-new-1" {
				t.Errorf("told %v, stands at %s", r.resets, r.at)
			}
		}
		if n := h.Stats().Resets[hub.ResetEpoch]; n != 2 {
			t.Errorf("%d resets counted", n)
		}
	})
}

// A start that was resolved before a reset is not believed after it.
func TestResetWhileResolving(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.resolved = func(hub.Query) hub.Start {
			h.Reset(position.Notifications, position.Mark{Epoch: "new", Seq: 7}, hub.ResetEpoch)
			return hub.Start{At: position.Position{}.With(position.Notifications, position.Mark{Epoch: epoch, Seq: 3})}
		}
		r := resume(h, e, "n-e-3", false, "#1")
		synctest.Wait()
		if fmt.Sprint(r.resets) != "[n-new-3]" { // up to 7 the stream is what it was
			t.Errorf("told %v", r.resets)
		}
	})
}

// Of two resets meanwhile both count: the stream was made anew, and then got
// another epoch that has all of the new history.
func TestTwoResetsWhileResolving(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.resolved = func(hub.Query) hub.Start {
			h.Reset(position.Notifications, position.Mark{Epoch: "new"}, hub.ResetEpoch)
			h.Reset(position.Notifications, position.Mark{Epoch: "newer", Seq: 7}, hub.ResetEpoch)
			return hub.Start{At: position.Position{}.With(position.Notifications, position.Mark{Epoch: epoch, Seq: 3})}
		}
		r := resume(h, e, "n-e-3", false, "#1")
		synctest.Wait()
		if fmt.Sprint(r.resets) != "[n-newer-0]" {
			t.Errorf("told %v", r.resets)
		}
	})
}

// Of two resets between two turns the cursor hears once: the second would be taken
// for word of the client's own that it has all up to there.
func TestTwoResetsBetweenTurns(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", count(1, 9)...)
		slow := resume(h, e, "", true, "#1")
		synctest.Wait()
		m.mu.Lock()
		m.all[0] = nil
		m.mu.Unlock()
		h.Reset(position.Notifications, position.Mark{Epoch: "new", Seq: 8}, hub.ResetEpoch)
		h.Reset(position.Notifications, position.Mark{Epoch: "newer", Seq: 7}, hub.ResetEpoch)
		slow.drain()
		synctest.Wait()
		if fmt.Sprint(slow.epochs, slow.resets) != "[{newer 3}] [n-newer-3 n-newer-3]" {
			t.Errorf("the cursor was told %v, the client %v", slow.epochs, slow.resets)
		}
	})
}

// A reset between a start's resolution and its first turn comes to the cursor
// too, and not to the position only.
func TestResetBehindTheResolution(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.behind = func() {
			h.Reset(position.Notifications, position.Mark{Epoch: "new", Seq: 7}, hub.ResetEpoch)
		}
		r := resume(h, e, "n-e-3", false, "#1")
		synctest.Wait()
		if fmt.Sprint(r.resets, r.epochs) != "[n-new-3] [{new 3}]" {
			t.Errorf("told %v, the cursor %v", r.resets, r.epochs)
		}
	})
}

func TestUnresolvable(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		m.resolved = func(hub.Query) hub.Start { return hub.Start{Err: errors.New("NATS is away")} }
		r := resume(h, encoding(h, position.Notifications), "", false, "#1")
		synctest.Wait()
		m.publish("#1", 1)
		synctest.Wait()
		if r.err == nil || len(r.received()) > 0 || h.Stats().Subscriptions != 0 {
			t.Errorf("error %v, got %v, %+v", r.err, r.received(), h.Stats())
		}
	})
}

type closing struct {
	closed    int
	confirmed []uint64
}

func (c *closing) Sent(uint64)         {}
func (c *closing) Confirm(seq uint64)  { c.confirmed = append(c.confirmed, seq) }
func (c *closing) Reset(position.Mark) {}
func (c *closing) Close()              { c.closed++ }
func (c *closing) Break()              { c.closed++ }

// A user for whom the stream was read in vain is confirmed up to where it was
// read, so that it is not read again for the next connection.
func TestQuietUserIsConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		m.publish("#1", 1)
		m.publish("#2", count(2, 30)...)
		m.forget(5)
		for after, want := range map[uint64]string{1: "[30]", 0: "[]"} {
			cursor := &closing{}
			m.resolved = func(hub.Query) hub.Start {
				return hub.Start{At: position.Position{}.With(position.Notifications, position.Mark{Epoch: epoch, Seq: after}), Cursor: cursor}
			}
			resume(h, encoding(h, position.Notifications), "", false, "#1")
			synctest.Wait()
			if got := fmt.Sprint(cursor.confirmed); got != want {
				t.Errorf("from %d on %s is confirmed, want %s", after, got, want)
			}
		}
	})
}

// A cursor that nobody is left to take is given back.
func TestDetachedWhileResolving(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		cursor := &closing{}
		var r *reader
		m.resolved = func(hub.Query) hub.Start {
			h.Detach(&r.Conn)
			return hub.Start{Cursor: cursor}
		}
		r = &reader{h: h}
		h.Attach(&r.Conn, r, encoding(h, position.Notifications), "1")
		h.Resume(&r.Conn, hub.Query{Channels: []string{"#1"}}, nil, func(hub.Start) { t.Error("it was started") })
		synctest.Wait()
		if s := h.Stats(); cursor.closed != 1 || s.CatchingUp != 0 || s.Subscriptions != 0 {
			t.Errorf("closed %d times, %+v", cursor.closed, s)
		}
	})
}

func TestTell(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub.Hub, m *model) {
		e := encoding(h, position.Notifications)
		m.publish("#1", 1, 2, 3, 4)
		r := resume(h, e, "", true, "#1")
		synctest.Wait()
		frame := func(at position.Position) []byte {
			text := at.Only(position.Notifications).String()
			return append(append(binary.BigEndian.AppendUint64(nil, 77), byte(len(text))), text...)
		}
		if h.Tell(&r.Conn, frame) {
			t.Error("told while it is being caught up with")
		}
		r.mu.Lock()
		r.slow = false
		r.mu.Unlock()
		r.drain()
		synctest.Wait()
		m.publish("#2", 5) // moves everybody's place on
		m.publish("#1", 6)
		if !h.Tell(&r.Conn, frame) {
			t.Error("not told")
		}
		synctest.Wait()
		equal(t, "the client", r.received(), 1, 2, 3, 4, 6, 77)
		if r.at != "n-e-6" {
			t.Errorf("it stands at %s", r.at)
		}
	})
}

// TestResumeHistories runs random histories of clients that come, go, come back
// with their position, and read slowly: each must have, over all its
// connections, everything of its channels since it first came, in order, once.
func TestResumeHistories(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, h *hub.Hub, m *model) { resumeHistory(t, h, m, seed) })
		})
	}
}

type traveller struct {
	channels []string
	encoding *hub.Encoding
	now      *reader
	before   []uint64
	at       string
}

func (c *traveller) leave(h *hub.Hub) {
	h.Detach(&c.now.Conn)
	c.now.mu.Lock()
	c.before, c.at = append(c.before, c.now.got...), c.now.at
	c.now.mu.Unlock()
	c.now = nil
}

func resumeHistory(t *testing.T, h *hub.Hub, m *model, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	m.prompt = seed%2 == 0
	names := []string{"#1", "#2", "a", "b", "c"}
	encodings := map[string]*hub.Encoding{
		"n": encoding(h, position.Notifications), "c": encoding(h, position.Channels),
		"nc": encoding(h, position.Notifications, position.Channels),
	}
	clients := []*traveller{
		{channels: []string{"#1"}, encoding: encodings["n"]},
		{channels: []string{"#1", "#2"}, encoding: encodings["n"]},
		{channels: []string{"a", "c"}, encoding: encodings["c"]},
		{channels: []string{"#1", "a", "b"}, encoding: encodings["nc"]},
		{channels: []string{"#2", "c"}, encoding: encodings["nc"]},
	}
	published := map[string][]uint64{}
	next := uint64(0)
	for range 400 {
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			name := names[rnd.IntN(len(names))]
			var numbers []uint64
			for range 1 + rnd.IntN(4) {
				next++
				numbers = append(numbers, next)
			}
			published[name] = append(published[name], numbers...)
			m.publish(name, numbers...)
		case 4:
			m.forget(uint64(1 + rnd.IntN(20)))
		case 5:
			m.mu.Lock()
			m.fail = rnd.IntN(2)
			m.mu.Unlock()
		case 6:
			time.Sleep(pause)
		case 7:
			synctest.Wait()
		default:
			c := clients[rnd.IntN(len(clients))]
			switch {
			case c.now == nil:
				c.now = resume(h, c.encoding, c.at, rnd.IntN(2) == 0, c.channels...)
			case rnd.IntN(2) == 0:
				c.now.drain()
			default:
				c.leave(h)
			}
		}
	}
	for _, c := range clients {
		if c.now != nil {
			c.leave(h)
		}
		synctest.Wait() // a write that was under way
		c.now = resume(h, c.encoding, c.at, false, c.channels...)
	}
	time.Sleep(10 * pause)
	synctest.Wait()
	for i, c := range clients {
		c.leave(h)
		for _, s := range position.All() {
			var want, got []uint64
			for _, name := range c.channels {
				if position.Of(name) == s {
					want = append(want, published[name]...)
				}
			}
			slices.Sort(want) // numbers rise as they are published
			for _, n := range c.before {
				if _, found := slices.BinarySearch(want, n); found {
					got = append(got, n)
				}
			}
			equal(t, fmt.Sprint("client ", i, " ", s), got, want...)
		}
	}
}

const pause = 500 * time.Millisecond
