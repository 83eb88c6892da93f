package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/backup"
	"belfry/internal/bus"
	"belfry/internal/config"
)

// TestAdoptCursors: those of the copy's history go on, with their tickets; the
// others count as none. What a gateway writes meanwhile stays.
func TestAdoptCursors(t *testing.T) {
	b := cursorBus(t)
	g := cursorsOn(t, b)
	kv, err := b.JetStream().KeyValue(context.Background(), g.names.Cursors())
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, r record) {
		t.Helper()
		if _, err := kv.Put(context.Background(), key, r.encode()); err != nil {
			t.Fatal(err)
		}
	}
	const many = 1200 // more than one question brings
	for i := range many {
		put(fmt.Sprint("u", i), record{epoch: "old", seq: uint64(i)})
	}
	put("tab", record{epoch: "old", seq: 5, tickets: []ticket{{Seq: 3, Until: 9}}})
	put("other", record{epoch: "older", seq: 5})
	put("ahead", record{epoch: "old", seq: many + 1})
	put("gone", record{epoch: "old", seq: 1})
	if err := kv.Delete(context.Background(), "gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(context.Background(), "bad", "x"); err != nil {
		t.Fatal(err)
	}
	got, err := AdoptCursors(context.Background(), b, "", "old", "new", many)
	if want := (Adopted{Kept: many + 1, Dropped: 3}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for key, want := range map[string]string{
		"u0":    `{"v":1,"epoch":"new","seq":0}`,
		"u1199": `{"v":1,"epoch":"new","seq":1199}`,
		"tab":   `{"v":1,"epoch":"new","seq":5,"tickets":[{"seq":3,"until":9}]}`,
		"other": `{"v":1,"epoch":"older","seq":5}`,
		"ahead": `{"v":1,"epoch":"old","seq":1201}`,
	} {
		if e, err := kv.Get(context.Background(), key); err != nil || string(e.Value()) != want {
			t.Errorf("%s is %s, %v; want %s", key, e.Value(), err, want)
		}
	}
	if _, err := kv.Get(context.Background(), "gone"); !errors.Is(err, jetstream.ErrKeyDeleted) && !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("what was deleted: %v", err)
	}
}

// TestBucketLayout: a bucket that a newer Belfry has used is refused, one of
// before there were layouts is marked where settings may be changed.
func TestBucketLayout(t *testing.T) {
	b := cursorBus(t)
	g := cursorsOn(t, b)
	ensure := func(manage string) error {
		return g.store.ensure(context.Background(), b.JetStream(), b.Names().Notifications(), manage)
	}
	layout := func(text string) string {
		t.Helper()
		err := b.ChangeMetadata(context.Background(), g.store.stream, func(meta map[string]string) {
			delete(meta, bus.LayoutKey)
			if text != "" {
				meta[bus.LayoutKey] = text
			}
			meta["owner"] = "platform"
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	layout("2")
	for _, manage := range []string{"create", "update", "never"} {
		if err := ensure(manage); !errors.Is(err, bus.ErrMisconfigured) || !strings.Contains(err.Error(), g.store.stream) || !strings.Contains(err.Error(), "newer Belfry") {
			t.Errorf("%s: %v", manage, err)
		}
	}
	for manage, want := range map[string]string{"create": "", "never": "", "update": "1"} {
		layout("")
		if err := ensure(manage); err != nil {
			t.Fatal(err)
		}
		if meta, _, err := b.Metadata(context.Background(), g.store.stream); err != nil || meta[bus.LayoutKey] != want || meta["owner"] != "platform" {
			t.Errorf("%s: the metadata is %v, %v", manage, meta, err)
		}
	}
}

// TestLayoutRaised: under a running gateway, by a newer one beside it. It goes
// on, says so once, and would not start again.
func TestLayoutRaised(t *testing.T) {
	w := newWorld(t)
	log, lines := recorded()
	w.log = log
	_, h := w.gateway()
	if err := w.backend.ChangeMetadata(w.ctx(), w.backend.Names().Notifications(), func(meta map[string]string) { meta[bus.LayoutKey] = "2" }); err != nil {
		t.Fatal(err)
	}
	w.eventually("the log tells", func() bool { return strings.Contains(lines(), "raised the stream's layout") })
	last := w.publishMany(20, "beside")
	w.reaches(h, notifications, last.Position.Get(notifications))
	if n := len(h.resetMarks()); n > 0 {
		t.Errorf("%d resets", n)
	}
	if n := strings.Count(lines(), "raised the stream's layout"); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	if err := w.backend.EnsureStreams(w.ctx()); !errors.Is(err, bus.ErrMisconfigured) || !strings.Contains(err.Error(), `layout "2"`) {
		t.Errorf("a start: %v", err)
	}
}

// TestCopyOnACluster: out of a stream with three replicas and back in, under a
// gateway, whose clients are told.
func TestCopyOnACluster(t *testing.T) {
	all := nodes(t)
	w := &world{t: t, pace: usual, log: quietLog(), fatalf: t.Fatalf, o: config.Default()}
	for _, s := range all {
		w.o.NATS.URL = append(w.o.NATS.URL, s.ClientURL())
	}
	w.o.Stream.MaxBytes = 16 << 20
	w.backend = w.bus()
	w.ensure()
	w.pub = NewPublisher(w.backend)
	_, h := w.gateway()
	w.publishMany(300, "kept")
	name := w.backend.Names().Notifications()
	nc := w.backend.Conn()
	var copied bytes.Buffer
	head, err := backup.Snapshot(w.ctx(), nc, "", name, &copied)
	if err != nil || head.State.Last != 300 || head.Config.Replicas() != 3 {
		t.Fatalf("copied %+v, %v", head.State, err)
	}
	w.publishMany(20, "lost")
	if err := backup.Delete(w.ctx(), nc, "", name); err != nil {
		t.Fatal(err)
	}
	epoch := FreshEpoch("")
	if _, err := backup.Restore(w.ctx(), nc, "", &copied, backup.Change{Metadata: map[string]string{EpochKey: epoch}}); err != nil {
		t.Fatal(err)
	}
	w.ensure()
	last := w.publish("#1", "new")
	if last.Seq != 301 || !strings.HasSuffix(last.Epoch, "."+epoch) {
		t.Errorf("the next one is %+v", last)
	}
	w.reaches(h, notifications, last.Position.Get(notifications))
	stream, err := w.backend.JetStream().Stream(w.ctx(), name)
	if err != nil || len(stream.CachedInfo().Cluster.Replicas) != 2 {
		t.Errorf("restored, it has %+v, %v", stream.CachedInfo().Cluster, err)
	}
}
