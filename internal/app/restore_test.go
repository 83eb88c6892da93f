package app

import (
	"strings"
	"testing"

	"belfry/internal/backup"
	"belfry/internal/bus"
)

// Whatever keeps the last step from being done, all streams are marked, and only
// another restore takes that away.
func TestARestoreThatFailsInItsLastStepSaysWhatToDo(t *testing.T) {
	cursors := backup.Entry{Stream: "KV_CURSORS"}
	f := &backup.File{Manifest: backup.Manifest{Streams: []backup.Entry{cursors, {Stream: "CHANNELS", Epoch: "e"}}}} // and not the stream they are of
	r := restoring{b: &bus.Bus{}, f: f, file: "belfry.tar", say: func(done Restored) { t.Errorf("it says that %+v is whole", done) }}
	err := r.finish(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, words := range []string{"belfry.tar has delivered cursors", "2 of 2", bus.RestoringKey, "--replace"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%v does not say %q", err, words)
		}
	}
}
