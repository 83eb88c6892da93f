package durability

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"testing"
	"time"

	"belfry/internal/app/apptest"
	"belfry/internal/backup"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/verify/streams"
)

// A stream is deleted under running gateways, and nobody makes it anew but they.
func TestAStreamIsDeleted(t *testing.T) {
	t.Parallel()
	for _, manage := range []string{"create", "never"} {
		t.Run(manage, func(t *testing.T) {
			t.Parallel()
			n := apptest.StartNATS(t, true)
			apptest.Backend(t, n.URL(), "")
			s := openStore(t, n.OpenURL())
			first := apptest.Start(t, external(n))
			a := apptest.Start(t, external(n), func(o *config.Options) { o.Stream.Manage = manage })
			if manage == "never" { // or the first one would make it
				if err := first.Stop(); err != nil {
					t.Fatal(err)
				}
				first = a
			}
			gateways := []string{first.Addresses().Public, a.Addresses().Public}
			var events []*apptest.Events
			for _, public := range gateways {
				events = append(events, apptest.Follow(t, public, "1").Started())
			}
			s.put("notification.1", "before", "before too")
			for _, e := range events {
				e.Expect("before", "before too")
			}

			deleted := streams.Of(s.nc, notifications)
			settings, err := deleted.Delete(within(t))
			if err != nil {
				t.Fatal(err)
			}
			becomes(t, a.Addresses().Internal, "stream_missing", notifications)
			apptest.MetricBecomes(t, a, "belfry_stream_missing", 1)
			if manage == "never" {
				if err := deleted.Create(within(t), settings); err != nil {
					t.Fatal(err)
				}
			}
			becomes(t, a.Addresses().Internal, "ready", "")
			s.put("notification.1", "after")
			for i, e := range events {
				back := e.LastID()
				e.ExpectReset("epoch")
				e.Expect("after")
				again := apptest.Follow(t, gateways[i], "1", "last-event-id", back).Started()
				again.ExpectReset("epoch")
				again.Expect("after")
			}
			apptest.MetricBecomes(t, a, "belfry_stream_missing", 0)
		})
	}
}

// The bucket of delivered cursors is deleted: it is made anew, and has the cursors
// of those who are connected.
func TestTheBucketIsDeleted(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.OpenURL())
	a := apptest.Start(t, external(n))
	c := attach(t, a.Addresses().Public, "1")
	s.awaitCursor("1", s.put("notification.1", "one").Sequence)
	c.Expect("one")
	if _, err := streams.Of(s.nc, "KV_BELFRY_CURSORS").Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	becomes(t, a.Addresses().Internal, "stream_missing", "KV_BELFRY_CURSORS")
	becomes(t, a.Addresses().Internal, "ready", "")
	seq := s.put("notification.1", "two").Sequence
	c.Expect("two")
	s.awaitCursor("1", seq)
}

// slowly reads a copy as from a slow disk, chunk by chunk.
type slowly struct {
	from  io.Reader
	pause <-chan time.Time
}

func (r slowly) Read(p []byte) (int, error) {
	<-r.pause
	return r.from.Read(p[:min(len(p), 96<<10)])
}

// A copy is put back under a running gateway, which takes longer than the gateway
// waits before it makes a stream anew: it leaves the stream to who restores it.
func TestACopyIsPutBackSlowly(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.OpenURL())
	a := apptest.Start(t, external(n))
	e := apptest.Follow(t, a.Addresses().Public, "1").Started()
	random := make([]byte, 384<<10) // so that the copy is as large, and has several chunks
	_, _ = rand.Read(random)
	var before []string
	for part := range 3 {
		before = append(before, base64.StdEncoding.EncodeToString(random[part*128<<10:(part+1)*128<<10]))
	}
	s.put("notification.1", before...)
	e.Expect(before...)

	var older bytes.Buffer
	if _, err := backup.Snapshot(within(t), s.nc, "", notifications, &older); err != nil {
		t.Fatal(err)
	}
	if _, err := streams.Of(s.nc, notifications).Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	pause := time.NewTicker(2 * time.Second)
	defer pause.Stop()
	began := time.Now()
	if _, err := backup.Restore(within(t), s.nc, "", slowly{&older, pause.C}, backup.Change{}); err != nil {
		t.Fatalf("restoring: %v", err)
	}
	if took := time.Since(began); took < 11*time.Second {
		t.Errorf("it took %v, in which the gateway would have done nothing anyway", took)
	}
	becomes(t, a.Addresses().Internal, "ready", "")
	s.put("notification.1", "after")
	apptest.Follow(t, a.Addresses().Public, "1", "start", "all").Expect(append(before, "after")...)
}

// A restore was broken off, and a stream is there in part: a gateway that runs is
// not ready until another restore is done.
func TestAStreamIsThereInPart(t *testing.T) {
	t.Parallel()
	n := apptest.StartNATS(t, true)
	s := openStore(t, n.OpenURL())
	a := apptest.Start(t, external(n))
	mark := func(change func(map[string]string)) {
		stream, err := s.js.Stream(within(t), notifications)
		if err != nil {
			t.Fatal(err)
		}
		settings := stream.CachedInfo().Config
		change(settings.Metadata)
		if _, err := s.js.UpdateStream(within(t), settings); err != nil {
			t.Fatal(err)
		}
	}
	mark(func(meta map[string]string) { meta[bus.RestoringKey] = "copy.tar" })
	becomes(t, a.Addresses().Internal, "stream_missing", "copy.tar")
	apptest.MetricBecomes(t, a, "belfry_stream_missing", 1)
	mark(func(meta map[string]string) { delete(meta, bus.RestoringKey) })
	becomes(t, a.Addresses().Internal, "ready", "")
}
