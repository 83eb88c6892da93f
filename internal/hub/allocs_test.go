//go:build !race

package hub_test

import (
	"fmt"
	"testing"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A counter is a connection that tells when it is the last of its round.
type counter struct {
	hub.Conn
	left *int // of the round, the shard's worker's
	all  int
	done chan<- struct{}
	size int // bytes of a round for each connection
	got  int
}

func (c *counter) Idle() bool          { return true }
func (c *counter) Reset(position.Mark) {}

func (c *counter) Deliver(b []byte, _ uint64) {
	if c.got += len(b); c.got < c.size {
		return
	}
	c.got = 0
	if *c.left--; *c.left == 0 {
		*c.left = c.all
		c.done <- struct{}{}
	}
}

// fanOut is how many allocations a batch for that many subscribers costs, its
// delivery included.
func fanOut(t *testing.T, subscribers, batch int) float64 {
	t.Helper()
	h := hub.New(1)
	defer h.Close()
	e := h.Encoding("test", payload)
	left, done := subscribers, make(chan struct{})
	for user := range subscribers {
		c := &counter{left: &left, all: subscribers, done: done, size: 8 * batch}
		h.Attach(&c.Conn, c, e, fmt.Sprint(user))
		h.Subscribe(&c.Conn, "news")
	}
	var publications []hub.Publication
	for n := range batch {
		publications = append(publications, publication("news", uint64(n)))
	}
	return testing.AllocsPerRun(200, func() {
		h.Publish(publications)
		<-done
	})
}

// What a publication allocates is its own: its entry, its frame, its place in the
// backlog. Subscribers add nothing to it.
func TestAllocsDoNotGrowWithSubscribers(t *testing.T) {
	for _, batch := range []int{1, 10, 100} {
		few, many := fanOut(t, 10, batch), fanOut(t, 1000, batch)
		if few != many {
			t.Errorf("a batch of %d: %v allocations for 10 subscribers, %v for 1,000", batch, few, many)
		}
		if most := float64(batch + 12); many > most { // the entries, and the backlog and the joined frames as they grow
			t.Errorf("a batch of %d: %v allocations, at most %v are allowed", batch, many, most)
		}
	}
}

// Most publications are read by nobody on this gateway.
func TestAllocsOfWhatNobodyReads(t *testing.T) {
	h := hub.New(2)
	defer h.Close()
	sinks(h, 10, toOne)
	for _, size := range []int{1, 100, 1024} {
		var batch []hub.Publication
		for i := range size {
			batch = append(batch, publication(fmt.Sprint("#nobody", i), 1))
		}
		if n := testing.AllocsPerRun(1000, func() { h.Publish(batch) }); n != 0 {
			t.Errorf("a batch of %d: %v allocations, want none", size, n)
		}
	}
}

func TestAllocsOfClassify(t *testing.T) {
	for _, payload := range []string{`{"a":[1,2,{"b":null}]}`, "hello there", "\xff"} {
		p := []byte(payload)
		if n := testing.AllocsPerRun(1000, func() { hub.Classify(p) }); n != 0 {
			t.Errorf("%q: %v allocations, want none", payload, n)
		}
	}
}
