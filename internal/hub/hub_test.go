package hub_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A client is a connection that keeps what it is written: each frame is the
// eight bytes of a publication's payload.
type client struct {
	hub.Conn
	mu     sync.Mutex
	got    []uint64
	writes int
	during func() // called in the first write
}

func (c *client) Idle() bool          { return true }
func (c *client) Reset(position.Mark) {}

func (c *client) Deliver(b []byte, mark uint64) {
	c.mu.Lock()
	for ; len(b) > 0; b = b[8:] {
		c.got = append(c.got, binary.BigEndian.Uint64(b))
	}
	c.writes++
	during := c.during
	c.during = nil
	c.mu.Unlock()
	if during != nil {
		during()
	}
}

func (c *client) received() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]uint64(nil), c.got...)
}

func publication(channel string, n uint64) hub.Publication {
	return hub.Publication{Channel: channel, Payload: binary.BigEndian.AppendUint64(nil, n)}
}

func payload(p *hub.Publication) []byte { return p.Payload }

// join makes a client of a user that is subscribed to channels.
func join(h *hub.Hub, e *hub.Encoding, user string, channels ...string) *client {
	c := &client{}
	h.Attach(&c.Conn, c, e, user)
	for _, channel := range channels {
		h.Subscribe(&c.Conn, channel)
	}
	return c
}

func equal(t *testing.T, what string, got []uint64, want ...uint64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s got %v, want %v", what, got, want)
	}
}

func TestOnlySubscribersOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(2)
		defer h.Close()
		e := h.Encoding("test", payload)
		one, tab, two := join(h, e, "1", "#1"), join(h, e, "1", "#1"), join(h, e, "2", "#2", "news")
		h.Subscribe(&one.Conn, "#1") // again: still once
		h.Publish([]hub.Publication{publication("#1", 1), publication("#2", 2), publication("news", 3), publication("#1", 4), publication("#3", 5)})
		synctest.Wait()
		equal(t, "user 1", one.received(), 1, 4)
		equal(t, "user 1's other tab", tab.received(), 1, 4)
		equal(t, "user 2", two.received(), 2, 3)
		if one.writes != 1 {
			t.Errorf("%d writes for two publications of one batch, want 1", one.writes)
		}
		stats := h.Stats()
		if stats.Subscriptions != 4 || stats.Deliveries["test"] != 6 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

// A connection may be subscribed to another user's channel, whose subscribers
// live in another shard.
func TestChannelInSeveralShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(4)
		defer h.Close()
		e := h.Encoding("test", payload)
		var all []*client
		for user := range 32 {
			all = append(all, join(h, e, fmt.Sprint(user), "#7"))
		}
		h.Publish([]hub.Publication{publication("#7", 1)})
		synctest.Wait()
		for user, c := range all {
			equal(t, fmt.Sprint("user ", user), c.received(), 1)
		}
	})
}

func TestDetachAndUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(1)
		defer h.Close()
		e := h.Encoding("test", payload)
		c := join(h, e, "1", "#1", "a", "b")
		h.Unsubscribe(&c.Conn, "a")
		h.Unsubscribe(&c.Conn, "a")
		h.Publish([]hub.Publication{publication("a", 1), publication("b", 2), publication("#1", 3)})
		synctest.Wait()
		equal(t, "before", c.received(), 2, 3)
		h.Detach(&c.Conn)
		h.Detach(&c.Conn)
		h.Publish([]hub.Publication{publication("b", 4), publication("#1", 5)})
		synctest.Wait()
		equal(t, "after", c.received(), 2, 3)
		if stats := h.Stats(); stats.Subscriptions != 0 || stats.Channels != 0 {
			t.Errorf("something is left: %+v", stats)
		}
		h.Detach(&new(client).Conn) // never attached
	})
}

// TestSingleOvertakesFanOut publishes to single users from within a large
// fan-out: they must be served before it ends, and still in order.
func TestSingleOvertakesFanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(1)
		defer h.Close()
		e := h.Encoding("test", payload)
		const many = 1000
		var all []*client
		for user := range many {
			all = append(all, join(h, e, fmt.Sprint(user), "all", fmt.Sprint("#", user)))
		}
		// Rounds go from the last subscriber to the first.
		last, first := all[many-1], all[0]
		var behind int // how many had not got the broadcast when the single came
		last.during = func() {
			h.Publish([]hub.Publication{publication("#0", 2)})
			first.mu.Lock()
			first.during = func() {
				for _, c := range all {
					c.mu.Lock()
					if len(c.got) == 0 {
						behind++
					}
					c.mu.Unlock()
				}
			}
			first.mu.Unlock()
		}
		h.Publish([]hub.Publication{publication("all", 1)})
		synctest.Wait()
		equal(t, "the single user", first.received(), 1, 2)
		if first.writes != 1 {
			t.Errorf("%d writes, want the broadcast and the single in one", first.writes)
		}
		if behind < many/2 {
			t.Errorf("only %d of %d were behind when the single user was served", behind, many)
		}
		for user, c := range all[1:] {
			equal(t, fmt.Sprint("user ", user+1), c.received(), 1)
		}
	})
}

// TestSlowWorkerHoldsThePublisherBack: a source that is faster than the machine
// waits instead of filling memory.
func TestSlowWorkerHoldsThePublisherBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(1)
		e := h.Encoding("test", payload)
		c := join(h, e, "1", "#1")
		gate := make(chan struct{})
		c.during = func() { <-gate }
		var published atomic.Int64
		const total = 100_000
		go func() {
			for i := range uint64(total) {
				h.Publish([]hub.Publication{publication("#1", i)})
				published.Add(1)
			}
		}()
		synctest.Wait()
		if n := published.Load(); n < 1000 || n > 40_000 { // what is in its hands, and as much behind it
			t.Errorf("%d taken in while the worker stands still", n)
		}
		close(gate)
		synctest.Wait()
		got := c.received()
		if len(got) != total {
			t.Fatalf("%d of %d received", len(got), total)
		}
		for i, n := range got {
			if n != uint64(i) {
				t.Fatalf("at %d: %d", i, n)
			}
		}
		h.Close()
	})
}

// A fan-out that the machine can't keep up with does not hold up what is
// published for single users.
func TestFullChannelDoesNotHoldUpUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(1)
		e := h.Encoding("test", payload)
		c := join(h, e, "1", "news", "#1")
		gate := make(chan struct{})
		c.during = func() { <-gate }
		go func() {
			for i := range uint64(50_000) {
				h.Publish([]hub.Publication{publication("news", i)})
			}
		}()
		synctest.Wait()
		taken := make(chan struct{})
		go func() {
			h.Publish([]hub.Publication{publication("#1", 1<<40)})
			close(taken)
		}()
		synctest.Wait()
		select {
		case <-taken:
		default:
			t.Error("a user's publication waits for room in another channel")
		}
		close(gate)
		synctest.Wait()
		if got := c.received(); len(got) != 50_001 {
			t.Errorf("%d received", len(got))
		}
		h.Close()
	})
}

// TestHistories runs random histories: clients come, go, subscribe and
// unsubscribe while others publish. A client that stays must have everything
// since it subscribed, each other a part of it; all in order, nothing twice.
func TestHistories(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { history(t, seed) })
	}
}

func history(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := hub.New(1 + int(seed%3))
	defer h.Close()
	e, other := h.Encoding("test", payload), h.Encoding("other", payload)
	const channels = 12
	name := func(i int) string { return fmt.Sprint("c", i) }
	var stay []*client
	from := map[*client]map[int]int{} // how much had been published on the channel when it subscribed
	published := make([][]uint64, channels)
	next := uint64(0)
	publish := func() {
		batch := make([]hub.Publication, 1+rnd.IntN(5))
		for i := range batch {
			ch := int(float64(channels) * rnd.Float64() * rnd.Float64()) // some busier than others
			next++
			batch[i] = publication(name(ch), next)
			published[ch] = append(published[ch], next)
		}
		h.Publish(batch)
	}
	for range 600 {
		switch rnd.IntN(4) {
		case 0:
			enc := e
			if rnd.IntN(3) == 0 {
				enc = other
			}
			c := join(h, enc, fmt.Sprint(rnd.IntN(50)))
			from[c] = map[int]int{}
			for range 1 + rnd.IntN(3) {
				ch := rnd.IntN(channels)
				if _, has := from[c][ch]; !has {
					h.Subscribe(&c.Conn, name(ch))
					from[c][ch] = len(published[ch])
				}
			}
			stay = append(stay, c)
		case 1:
			if len(stay) > 200 { // one goes
				i := rnd.IntN(len(stay))
				h.Detach(&stay[i].Conn)
				ordered(t, stay[i])
				stay = append(stay[:i], stay[i+1:]...)
			}
		default:
			publish()
		}
	}
	h.Close()
	for _, c := range stay {
		want := map[uint64]bool{}
		for ch, n := range from[c] {
			for _, number := range published[ch][n:] {
				want[number] = true
			}
		}
		for _, n := range c.received() {
			if !want[n] {
				t.Fatalf("got %d, which it should not", n)
			}
			delete(want, n)
		}
		if len(want) > 0 {
			t.Fatalf("%d publications are missing", len(want))
		}
		ordered(t, c)
	}
}

func ordered(t *testing.T, c *client) {
	t.Helper()
	last := uint64(0)
	for _, n := range c.received() {
		if n <= last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
}

func TestClassify(t *testing.T) {
	for payload, want := range map[string]hub.Class{
		`{"a":1}`: hub.JSON, `"x"`: hub.JSON, "1": hub.JSON, " [1] ": hub.JSON,
		"": hub.Text, "hello": hub.Text, "{": hub.Text, "ä": hub.Text, "\r\n": hub.Text, "\x00": hub.Text,
		"\xff": hub.Binary, "\"\xff\"": hub.Binary, "\xed\xa0\x80": hub.Binary,
	} {
		if got := hub.Classify([]byte(payload)); got != want {
			t.Errorf("%q is %d, want %d", payload, got, want)
		}
	}
}

// What is JSON by its first byte and what is by all of it do not contradict.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{`{}`, " \t\r\n[1]", `"a"`, "-1", "0", "true", "false", "null", "", " ", "+1", ".5", "NaN", "\v1", "\ufeff{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if got, isJSON := hub.Classify(payload), utf8.Valid(payload) && json.Valid(payload); (got == hub.JSON) != isJSON {
			t.Errorf("%q is %v, and JSON: %v", payload, got, isJSON)
		}
	})
}

// What waits is written in one pass, and each connection once in it; until then
// it is pending.
func TestPassesAndWritesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(1)
		defer h.Close()
		e := h.Encoding("test", payload)
		c := join(h, e, "1", "#1")
		join(h, e, "2", "#2")
		gate := make(chan struct{})
		c.during = func() { <-gate }
		h.Publish([]hub.Publication{publication("#1", 1)})
		synctest.Wait() // the worker is in the first write
		h.Publish([]hub.Publication{publication("#1", 2), publication("#1", 3), publication("#2", 4), publication("#nobody", 5)})
		if s := h.Stats(); s.Pending != 3 || s.Passes != 1 || s.Writes != 1 {
			t.Errorf("while it writes: %d pending, %d passes, %d writes; want 3, 1, 1", s.Pending, s.Passes, s.Writes)
		}
		close(gate)
		synctest.Wait()
		if s := h.Stats(); s.Pending != 0 || s.Passes != 2 || s.Writes != 3 || s.Deliveries["test"] != 4 {
			t.Errorf("in the end: %d pending, %d passes, %d writes, %d deliveries; want 0, 2, 3, 4", s.Pending, s.Passes, s.Writes, s.Deliveries["test"])
		}
	})
}
