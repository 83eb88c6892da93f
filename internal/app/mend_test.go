package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/ops"
)

// A badDisk is a store that opens, and writes or not.
type badDisk struct {
	opened int
	stale  bool // the next probe goes by what was written before
	broken error
}

func (*badDisk) HasRoom() error { return nil }

func (d *badDisk) Reopen(ctx context.Context) error {
	d.opened++
	return ctx.Err()
}

func (d *badDisk) probe(context.Context) error {
	if d.stale {
		d.stale = false
		return nil
	}
	return d.broken
}

func (d *badDisk) mender() *mender { return &mender{store: d, probe: d.probe, pause: firstReopen} }

var errIO = errors.New("input/output error")

// A store that was opened anew is well when something was written to it.
func TestReopenedIsNotYetWell(t *testing.T) {
	d := &badDisk{broken: errIO, stale: true}
	m := d.mender()
	if h := m.prove(t.Context()); h.state != "" {
		t.Errorf("before anything failed: %+v", h)
	}
	var told harm
	if !m.mend(t.Context(), errIO, func(h harm) { told = h }) || told.state != ops.NotStoring {
		t.Errorf("mending: %+v", told)
	}
	d.stale = true
	for range 2 {
		if h := m.prove(t.Context()); h.state != ops.NotStoring || !strings.Contains(h.why, errIO.Error()) {
			t.Errorf("opened, and not written: %+v", h)
		}
	}
	d.broken = nil
	if h := m.prove(t.Context()); h.state != "" {
		t.Errorf("written: %+v", h)
	}
}

// A gateway that stops does not say that its store could not be opened.
func TestMendingIsLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said []string
	if new(badDisk).mender().mend(ctx, errIO, func(h harm) { said = append(said, h.why) }) {
		t.Error("it says that the store is open")
	}
	if len(said) != 1 || !strings.Contains(said[0], "being started again") {
		t.Errorf("it says %q", said)
	}
}

// While a store fails after every start the pauses grow; when it has been well
// for a while the next is short again.
func TestPausesOfMending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &badDisk{}
		m := d.mender()
		// fails is the store failing all the time for this long, though what is tried
		// after each start is written.
		fails := func(over time.Duration) (starts int) {
			before := d.opened
			for end := time.Now().Add(over); time.Now().Before(end); time.Sleep(keepEvery) {
				if !m.mend(t.Context(), errIO, func(harm) {}) {
					continue
				}
				if h := m.prove(t.Context()); h.state != "" {
					t.Fatal(h)
				}
			}
			return d.opened - before
		}
		if n := fails(time.Minute); n != 4 { // at 0, 5, 15 and 35 s
			t.Errorf("%d starts in the first minute, want 4", n)
		}
		fails(10 * time.Minute)
		if n := fails(time.Hour); n != 12 {
			t.Errorf("%d starts in an hour later, want one every %v", n, lastReopen)
		}
		well := func(over time.Duration) {
			for end := time.Now().Add(over); time.Now().Before(end); time.Sleep(keepEvery) {
				m.prove(t.Context())
			}
		}
		well(lastReopen)
		if n := fails(time.Minute); n != 1 {
			t.Errorf("%d starts in a minute soon after, want 1", n)
		}
		well(wellAfter + keepEvery)
		if n := fails(time.Minute); n != 4 {
			t.Errorf("%d starts in a minute after a while of health, want 4", n)
		}
	})
}
