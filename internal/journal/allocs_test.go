//go:build !race

package journal

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
)

// Nearly all who come back have missed nothing: looking for it is free.
func TestAllocsOfARingReadThatFindsNothing(t *testing.T) {
	r := ringOf(1000, 1<<20)
	for seq := range uint64(500) {
		r.apply([]entry{put(seq+1, fmt.Sprint("#", seq%50), "x")}, seq+1)
	}
	for name, channels := range map[string][]string{
		"has all of it": {"#7"},
		"is unknown":    {"#somebody"},
		"both":          {"#7", "#somebody"},
	} {
		read := func() {
			if found, _, ok := r.recent(channels, 490, 500, 1<<20); !ok || len(found) > 0 {
				t.Fatalf("%d found, %v", len(found), ok)
			}
		}
		if n := testing.AllocsPerRun(1000, read); n != 0 {
			t.Errorf("a channel that %s: %v allocations, want none", name, n)
		}
	}
}

// From a NATS message to ring and hub costs what the ring takes now and then: a
// block, a chunk. The messages are what is measured with, and no part of it.
func TestAllocsOfApply(t *testing.T) {
	src := sources(subject.Default(""))[0]
	s := newSequencer(src, nil, "", noHub{}, nil, newRing(src.id, ringEntries, ringBytes), slog.New(slog.NewTextHandler(io.Discard, nil)), usual)
	s.ring.reset("e", 0)
	s.setView(view{epoch: "e", first: 1})
	const batch, runs = 100, 200
	var msgs []*nats.Msg
	for seq := range (runs + 2) * batch {
		msgs = append(msgs, &nats.Msg{
			Subject: fmt.Sprint("notification.", seq%50),
			Reply:   fmt.Sprintf("$JS.ACK.BELFRY_NOTIFICATIONS.belfry-abc.1.%d.1.1700000000000000000.0", seq+1),
			Data:    []byte(`{"text":"a small notification"}`),
		})
	}
	next := 0
	apply := func() {
		for range batch {
			s.offer(msgs[next])
			next++
		}
		s.apply()
	}
	apply() // the slices grow, and each user's name is read
	if n := testing.AllocsPerRun(runs, apply) / batch; n > 0.05 {
		t.Errorf("%v allocations a message, at most 0.05 are allowed", n)
	}
	if s.applied != uint64(next) {
		t.Errorf("%d of %d were applied", s.applied, next)
	}
}
