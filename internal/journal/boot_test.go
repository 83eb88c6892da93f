package journal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/position"
)

// embedded runs a gateway with an embedded store in dir, until stop.
func embedded(t *testing.T, dir string, sync config.SyncInterval, during func(j *Journal)) {
	t.Helper()
	o := config.Default()
	o.Data, o.NATS.Listen, o.NATS.SyncInterval = dir, "127.0.0.1:0", sync
	b, err := bus.Start(o, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	h := &recorder{t: t}
	j, err := newJournal(b, h, o, quietLog(), quick, sources(b.Names()))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(ctx); err != nil {
		t.Fatal(err)
	}
	during(j)
	j.Close()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := j.Settled(); err != nil {
		t.Fatal(err)
	}
}

func TestBootMarker(t *testing.T) {
	dir, at := t.TempDir(), position.Position{}
	run := func(what string, marker string, sync config.SyncInterval, rotated bool) {
		t.Helper()
		embedded(t, dir, sync, func(j *Journal) {
			if marker != "" { // found when the next one starts
				defer func() {
					if err := os.WriteFile(j.markerPath()+".next", []byte(marker), 0o600); err != nil {
						t.Fatal(err)
					}
				}()
			}
			text, err := os.ReadFile(j.markerPath())
			if err != nil || string(text) != j.marker() {
				t.Errorf("%s: the marker is %q, %v", what, text, err)
			}
			var now position.Position
			for _, s := range j.sequencers {
				now = now.With(s.id, s.look().end())
			}
			if !at.IsZero() && (now.Get(notifications).Epoch != at.Get(notifications).Epoch) != rotated {
				t.Errorf("%s: epochs are %v, were %v", what, now, at)
			}
			if !at.IsZero() && (now.Get(position.Channels).Epoch != at.Get(position.Channels).Epoch) != rotated {
				t.Errorf("%s: epochs are %v, were %v", what, now, at)
			}
			at = now
		})
		path := dir + "/" + markerName
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: after a clean end the marker is still there: %v", what, err)
		}
		if marker != "" {
			if err := os.Rename(path+".next", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	later := config.Default().NATS.SyncInterval
	run("first", "", later, false)
	run("clean", bootID()+" later 1\n", later, false)
	run("process killed", "another-boot later 1\n", later, bootID() == noBootID)
	run("machine down", "another-boot always 1\n", config.SyncAlways, true)
	run("machine down, all was synced", "", later, false)
	run("clean again", "", later, false)
}

func TestLostWrites(t *testing.T) {
	for marker, want := range map[string]bool{
		"a later 1": false, "b later 1": true, "b always 1": false, "": true, "b": true, "unknown later 1": true,
	} {
		if got := lostWrites(marker, "a"); got != want {
			t.Errorf("%q: %v", marker, got)
		}
	}
	if !lostWrites(noBootID+" later 1", noBootID) || strings.Contains(bootID(), " ") {
		t.Error("a boot id that is not known is like no other")
	}
}
