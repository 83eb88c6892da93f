package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"belfry/internal/position"
)

const notifications = position.Notifications

func TestEpochOf(t *testing.T) {
	at := time.Unix(0, 36*36*36+35)
	for rotated, want := range map[string]string{"": "100z", "2": "100z.2", "0ab": "100z.0ab"} {
		if got := epochOf(at, rotated); got != want {
			t.Errorf("%q is %q, want %q", rotated, got, want)
		}
	}
	if a, b := epochOf(at, "A"), epochOf(at, "A B"); a == b || a == "100z" {
		t.Errorf("%q and %q", a, b)
	}
	for _, rotated := range []string{"", "2", "A", "ä.-_"} {
		p := position.Position{}.With(notifications, position.Mark{Epoch: epochOf(at, rotated), Seq: 5})
		if got, err := position.Parse(p.String()); err != nil || got != p {
			t.Errorf("%q: %v, %v", p, got, err)
		}
	}
}

// snapshot copies NATS's store; restore puts the copy in its place.
func (w *world) snapshot() string {
	w.t.Helper()
	w.down()
	copied := filepath.Join(w.t.TempDir(), "copy")
	w.copyStore(copied, w.dir)
	w.up()
	w.ensure()
	return copied
}

func (w *world) restore(copied string) {
	w.t.Helper()
	w.down()
	if err := os.RemoveAll(w.dir); err != nil {
		w.t.Fatal(err)
	}
	if err := os.CopyFS(w.dir, os.DirFS(copied)); err != nil {
		w.t.Fatal(err)
	}
	w.up()
	w.ensure()
}

func (w *world) recreate() {
	w.t.Helper()
	if err := w.backend.JetStream().DeleteStream(w.ctx(), w.backend.Names().Notifications()); err != nil {
		w.t.Fatal(err)
	}
	w.ensure()
}

// TestRecreated: clients are told, and get what the new stream has, also when it
// has passed the old one's sequences by the time it is noticed.
func TestRecreated(t *testing.T) {
	for name, published := range map[string]int{"fewer": 3, "more": 60} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, h := w.gateway()
			old := w.publishMany(20, "old")
			w.reaches(h, notifications, old.Position.Get(notifications))
			w.recreate()
			now := w.publishMany(published, "new")
			w.reaches(h, notifications, now.Position.Get(notifications))
			if got := h.resetMarks(); len(got) != 1 || got[0] != (position.Mark{Epoch: now.Epoch}) {
				t.Errorf("resets %v", got)
			}
			var want []string
			for i := range published {
				want = append(want, fmt.Sprintf("%d #%d new-%d", i+1, i%3, i))
			}
			expectTexts(t, "the new stream", h.got(notifications, now.Epoch), want)
		})
	}
}

// TestRestoredFromACopy: the creation time is the same, sequences are given out
// again. The gateways rotate the epoch, once, and go on behind what is common.
func TestRestoredFromACopy(t *testing.T) {
	for name, published := range map[string]int{"nothing since": 0, "fewer": 3, "more than was lost": 30} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			common := w.publishMany(20, "common")
			j1, h1 := w.gateway()
			_, h2 := w.gateway()
			copied := w.snapshot()
			lost := w.publishMany(10, "lost")
			w.reaches(h1, notifications, lost.Position.Get(notifications))
			w.reaches(h2, notifications, lost.Position.Get(notifications))
			w.restore(copied)
			w.publishMany(published, "since")
			w.eventually("both have the same new epoch", func() bool {
				a, b := h1.mark(notifications), h2.mark(notifications)
				return a == b && a.Epoch != lost.Epoch && a.Seq == common.Seq+uint64(published)
			})
			for i, h := range []*recorder{h1, h2} {
				var want []string
				for n := range published {
					want = append(want, fmt.Sprintf("%d #%d since-%d", common.Seq+uint64(n)+1, n%3, n))
				}
				resets, got := h.resetMarks(), h.gotSince(notifications, lost.Epoch)
				if len(resets) == 0 || resets[0].Seq != common.Seq {
					t.Fatalf("gateway %d: resets %v, common is %d", i, resets, common.Seq)
				}
				// Both may have rotated it, one after the other. Then what was taken while
				// the second one was being looked into comes again, behind its reset.
				if again := resets[len(resets)-1]; len(resets) == 2 && again.Seq >= common.Seq {
					got = append(h.got(notifications, resets[0].Epoch)[:again.Seq-common.Seq], h.got(notifications, again.Epoch)...)
				} else if len(resets) > 2 {
					t.Errorf("gateway %d: resets %v", i, resets)
				}
				expectTexts(t, fmt.Sprint("gateway ", i), got, want)
			}
			t.Logf("%+v", j1.Stats().Streams[0])
		})
	}
}

// TestRestoredFarBack: the copy ends before all that the gateway remembers.
func TestRestoredFarBack(t *testing.T) {
	w := newWorld(t)
	common := w.publishMany(5, "common")
	copied := w.snapshot()
	h := &recorder{t: t}
	b := w.bus()
	j, err := newJournal(b, h, w.o, w.log, w.pace, sources(b.Names()))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	j.sequencers[0].ring = newRing(notifications, 10, ringBytes)
	if err := j.Start(w.ctx()); err != nil {
		t.Fatal(err)
	}
	lost := w.publishMany(anchors+20, "lost")
	w.reaches(h, notifications, lost.Position.Get(notifications))
	w.restore(copied)
	w.publishMany(3, "since")
	w.eventually("it goes on in another epoch", func() bool {
		m := h.mark(notifications)
		return m.Epoch != lost.Epoch && m.Seq == common.Seq+3
	})
	var want []string
	for n := range 3 {
		want = append(want, fmt.Sprintf("%d #%d since-%d", common.Seq+uint64(n)+1, n%3, n))
	}
	expectTexts(t, "since", h.got(notifications, h.mark(notifications).Epoch), want)
}

// TestRotatedByHand is the documented procedure's last step.
func TestRotatedByHand(t *testing.T) {
	w := newWorld(t)
	_, h := w.gateway()
	last := w.publishMany(5, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	before, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := Rotate(w.ctx(), w.backend, w.backend.Names().Notifications())
	if err != nil || epoch == last.Epoch {
		t.Fatalf("epoch %q, %v", epoch, err)
	}
	w.reaches(h, notifications, position.Mark{Epoch: epoch, Seq: last.Seq})
	if got := h.resetMarks(); len(got) != 1 || got[0].Seq != last.Seq {
		t.Errorf("resets %v", got)
	}
	after, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	a, b := before.CachedInfo().Config, after.CachedInfo().Config
	if b.Metadata[EpochKey] == "" || len(b.Metadata) != len(a.Metadata)+1 {
		t.Errorf("metadata %v, before %v", b.Metadata, a.Metadata)
	}
	a.Metadata, b.Metadata = nil, nil
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		t.Errorf("settings changed:\n%+v\n%+v", a, b)
	}
	next := w.publish("#1", "next")
	w.reaches(h, notifications, position.Mark{Epoch: epoch, Seq: next.Seq})
	if next.Epoch != epoch {
		t.Errorf("published in epoch %q", next.Epoch)
	}
}

// TestNoFalseResets: what an operator does every day changes no epoch.
func TestNoFalseResets(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(10, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{last.Seq, last.Seq - 3} {
		if err := stream.DeleteMsg(w.ctx(), seq); err != nil {
			t.Fatal(err)
		}
	}
	deleteConsumers(w)
	w.down()
	w.up()
	w.ensure()
	config := stream.CachedInfo().Config
	config.MaxAge = 20 * 24 * time.Hour
	if _, err := w.backend.JetStream().UpdateStream(w.ctx(), config); err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(w.ctx()); err != nil {
		t.Fatal(err)
	}
	next := w.publish("#1", "next")
	w.reaches(h, notifications, next.Position.Get(notifications))
	before := j.Stats().Streams[0].Checks
	w.eventually("three more checks", func() bool { return j.Stats().Streams[0].Checks >= before+3 })
	if got := h.resetMarks(); len(got) > 0 {
		t.Errorf("resets %v", got)
	}
}
