package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"belfry/internal/histogram"
	"belfry/internal/hub"
	"belfry/internal/position"
)

func line1(r Receipt, channel, data string) string {
	return fmt.Sprintf("%d %s %s", r.Seq, channel, data)
}

func TestPublishedReachesTheHub(t *testing.T) {
	w := newWorld(t)
	before := w.publish("#1", "before")
	j, h := w.gateway()
	if got := h.mark(position.Notifications); got.Seq != before.Seq || got.Epoch != before.Epoch {
		t.Errorf("it begins at %v, want %v", got, before)
	}
	r1, r2, r3 := w.publish("#a@b", `{"a":1}`), w.publish("orders.eu", "text"), w.publish("#1", "\xff")
	w.reaches(h, position.Notifications, r3.Position.Get(position.Notifications))
	w.reaches(h, position.Channels, r2.Position.Get(position.Channels))
	expectTexts(t, "notifications", h.got(position.Notifications, r1.Epoch), []string{line1(r1, "#a@b", `{"a":1}`), line1(r3, "#1", "\xff")})
	for i, most := range []uint64{2, 1} { // what was there at the start is not late
		took := func() histogram.Snapshot { return j.Stats().Streams[i].Handover }
		w.eventually("a batch is counted", func() bool { t := took(); return t.Count() > 0 })
		if took := took(); took.Count() > most || took.Sum > patience {
			t.Errorf("stream %d: %d batches were handed over, in %v together", i, took.Count(), took.Sum)
		}
	}
	expectTexts(t, "channels", h.got(position.Channels, r2.Epoch), []string{line1(r2, "orders.eu", "text")})
	for i, want := range []hub.Class{hub.JSON, hub.Text, hub.Binary} {
		for _, p := range h.all {
			if (p.Stream == position.Channels) == (want == hub.Text) && (p.Seq == r3.Seq) == (want == hub.Binary) && p.Class != want {
				t.Errorf("%d: class %v, want %v", i, p.Class, want)
			}
		}
	}
}

// TestSpellings: a message that no channel's subject is as it stands is
// delivered to nobody, and the watermark passes it.
func TestSpellings(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	for _, subj := range []string{"t.notification.a@b", "t.notification.=MQ", "t.channel.=IzE"} {
		if _, err := w.backend.Publish(w.ctx(), subj, "", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the stream of notifications is read", func() bool { return h.mark(position.Notifications).Seq == 2 })
	w.eventually("the stream of channels is read", func() bool { return h.mark(position.Channels).Seq == 1 })
	if len(h.all) > 0 {
		t.Errorf("delivered: %v", h.all)
	}
	stats := j.Stats()
	if stats.Streams[0].Misspelled != 2 || stats.Streams[1].Misspelled != 1 {
		t.Errorf("misspelled %+v", stats.Streams)
	}
}

// TestUnderRestarts publishes while NATS is restarted, the consumers are
// deleted, and messages are removed: whatever was acknowledged reaches the hub
// once, in order.
func TestUnderRestarts(t *testing.T) {
	w := newWorld(t)
	_, h := w.gateway()
	acked := make(chan Receipt, 100_000)
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for p := range 3 {
		publishers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				channel := []string{"#1", "#2", "news"}[p]
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				r, err := w.backend.Publish(ctx, mustSubject(t, w, channel), "", []byte(fmt.Sprint(i)))
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				acked <- Receipt{Seq: r.Seq, Store: fmt.Sprint(i), ID: channel}
			}
		})
	}
	for round := range 4 {
		more := len(acked) + 20 + rand.IntN(200)
		w.eventually("some more are acknowledged", func() bool { return len(acked) >= more })
		switch round % 2 {
		case 0:
			w.down()
			w.up()
		case 1:
			deleteConsumers(w)
		}
	}
	more := len(acked) + 100
	w.eventually("some more are acknowledged", func() bool { return len(acked) >= more })
	close(stop)
	publishers.Wait()
	close(acked)
	epochs := map[position.Stream]string{}
	want := map[position.Stream]map[uint64]string{position.Notifications: {}, position.Channels: {}}
	for r := range acked {
		want[position.Of(r.ID)][r.Seq] = fmt.Sprintf("%d %s %s", r.Seq, r.ID, r.Store)
	}
	for s, all := range want {
		epochs[s] = h.mark(s).Epoch
		var list []string
		for seq := uint64(1); len(list) < len(all); seq++ {
			if text, ok := all[seq]; ok {
				list = append(list, text)
			}
			if seq > 1_000_000 {
				t.Fatal("sequences are missing")
			}
		}
		w.eventually("all have come", func() bool { return len(h.got(s, epochs[s])) >= len(list) })
		expectTexts(t, s.String(), h.got(s, epochs[s]), list)
	}
	if n := len(h.resetMarks()); n > 0 {
		t.Errorf("%d resets: %v", n, h.resetMarks())
	}
	t.Logf("%d and %d publications", len(want[position.Notifications]), len(want[position.Channels]))
}

func mustSubject(t testing.TB, w *world, channel string) string {
	subj, err := SubjectOf(w.backend.Names(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return subj
}

func deleteConsumers(w *world) {
	for _, name := range []string{w.backend.Names().Notifications(), w.backend.Names().Channels()} {
		s, err := w.backend.JetStream().Stream(w.ctx(), name)
		if err != nil { // NATS is not back yet
			continue
		}
		lister := s.ConsumerNames(w.ctx())
		for c := range lister.Name() {
			_ = s.DeleteConsumer(w.ctx(), c)
		}
	}
}

// TestHoles: sequences that are deleted before they are read are passed by, in
// the middle and at the end.
func TestHoles(t *testing.T) {
	w := newWorld(t)
	_, h := w.gateway()
	first := w.publish("#1", "a")
	w.reaches(h, position.Notifications, first.Position.Get(position.Notifications))
	w.down()
	w.up()
	w.ensure()
	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	// The gateway may have read some of them before they are deleted: it is only
	// the watermark that is to get there.
	for i := range 6 {
		r := w.publish("#1", fmt.Sprint(i))
		if i != 2 {
			if err := stream.DeleteMsg(w.ctx(), r.Seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("the watermark reaches the end", func() bool { return h.mark(position.Notifications).Seq == first.Seq+6 })
	if err := stream.Purge(w.ctx()); err != nil {
		t.Fatal(err)
	}
	r := w.publish("#1", "after the purge")
	w.reaches(h, position.Notifications, r.Position.Get(position.Notifications))
}

// TestTailDeletedBeforeStart: what is missing at the end counts as read.
func TestTailDeletedBeforeStart(t *testing.T) {
	w := newWorld(t)
	r := w.publishMany(5, "x")
	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(w.ctx(), r.Seq); err != nil {
		t.Fatal(err)
	}
	_, h := w.gateway()
	if m := h.mark(position.Notifications); m.Seq != r.Seq {
		t.Errorf("it begins at %v, want %d", m, r.Seq)
	}
}

// TestStartWithMoreThanItReads: what a start left in the stream is read from there.
func TestStartWithMoreThanItReads(t *testing.T) {
	w := newWorld(t)
	const left = 40
	w.publishAsync(fillEntries+left, 20_000)
	j, h := w.gateway()
	if n := j.Stats().Streams[0].RingEntries; n != fillEntries {
		t.Errorf("%d in memory, want %d", n, fillEntries)
	}
	if m := h.mark(notifications); m.Seq != fillEntries+left {
		t.Errorf("it begins at %d, want %d", m.Seq, fillEntries+left)
	}
	for _, test := range []struct {
		channel string
		inRing  bool
	}{{"#0", false}, {fmt.Sprint("#", left-1), false}, {fmt.Sprint("#", left), true}} {
		got, _, inRing := j.Recent(notifications, []string{test.channel}, 0, fillEntries+left, 1<<20)
		if inRing {
			t.Errorf("%s: memory answers for what came before it, with %d", test.channel, len(got))
		}
		got, _, inRing = j.Recent(notifications, []string{test.channel}, left, fillEntries+left, 1<<20)
		if !inRing || len(got) > 0 != test.inRing {
			t.Errorf("%s: %d in memory, and it answers: %v", test.channel, len(got), inRing)
		}
		came := make(chan []hub.Publication, 1)
		j.Older(w.ctx(), notifications, []string{test.channel}, 0, 1<<20, func(batch []hub.Publication, _ uint64, err error) {
			if err != nil {
				t.Error(test.channel, err)
			}
			came <- batch
		})
		if got := <-came; len(got) > 0 == test.inRing {
			t.Errorf("%s: %d from the stream", test.channel, len(got))
		}
	}
}
