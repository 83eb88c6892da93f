package app_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/backup"
	"belfry/internal/bus"
	"belfry/internal/bus/bustest"
	"belfry/internal/config"
)

func backedUp(t *testing.T, o config.Options, url string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "belfry.tar")
	var streams []string
	if err := app.Backup(t.Context(), o, url, file, func(s app.BackedUp) { streams = append(streams, s.Stream) }); err != nil {
		t.Fatal(err)
	}
	if len(streams) != 3 {
		t.Fatalf("it copied %v", streams)
	}
	return file
}

// TestBackupAndRestore: under a gateway that runs, with a user who was away when
// the copy was made, and a client that has a position behind it.
func TestBackupAndRestore(t *testing.T) {
	n := apptest.StartNATS(t, true)
	o := apptest.Options(t, func(o *config.Options) { o.NATS.URL = []string{n.OpenURL()} })
	a := apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	apptest.Backend(t, n.URL(), "")
	publish := func(text string) app.Receipt {
		t.Helper()
		r, err := app.Publish(t.Context(), o, "", app.Publication{Channel: "#1", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	publish("read")
	one := apptest.Listen(t, a, "1")
	one.Expect("read")
	js, err := jetstream.New(apptest.Connect(t, n.OpenURL()))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), "BELFRY_CURSORS")
	if err != nil {
		t.Fatal(err)
	}
	apptest.Eventually(t, "the delivered cursor is written", func() bool {
		e, err := bucket.Get(t.Context(), "1")
		return err == nil && strings.Contains(string(e.Value()), `"seq":1`)
	})
	one.Close()
	apptest.MetricBecomes(t, a, "belfry_subscriptions", 0)
	publish("missed")
	file := backedUp(t, o, "")
	behind := publish("lost")

	var said []app.Restored
	if err := app.Restore(t.Context(), o, "", file, true, func(r app.Restored) { said = append(said, r) }); err != nil {
		t.Fatal(err)
	}
	if len(said) != 3 || said[0].Kept != 1 || said[0].Dropped != 0 || said[1].Last != 2 || said[1].Messages != 2 {
		t.Errorf("it said %+v", said)
	}
	if again := publish("new"); again.Seq != behind.Seq || again.Position == behind.Position {
		t.Errorf("%q is behind the copy, and then %q was given out", behind.Position, again.Position)
	}
	apptest.MetricBecomes(t, a, `belfry_stream_resets_total{stream="notifications"}`, 1)
	one = apptest.Listen(t, a, "1")
	one.Expect("missed")
	one.Expect("new")

	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string, 16)
	go func() {
		_ = app.Follow(ctx, o, "", app.Following{Channel: "#1", Since: behind.Position, Out: func(string, []byte) {}, Status: func(s string) { told <- s }})
	}()
	defer cancel()
	for line := range told {
		if strings.Contains(line, "reset, reason epoch") {
			break
		}
	}
}

// TestRestoreRefuses: what is refused changes nothing.
func TestRestoreRefuses(t *testing.T) {
	n := apptest.StartNATS(t, true)
	o := apptest.Options(t, func(o *config.Options) { o.NATS.URL = []string{n.OpenURL()} })
	apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	first, err := app.Publish(t.Context(), o, "", app.Publication{Channel: "#1", Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	file := backedUp(t, o, "")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	prefixed := o
	prefixed.NATS.Prefix = "acme"
	copies := o
	copies.Stream.Replicas = 3
	for _, c := range []struct {
		name    string
		o       config.Options
		file    string
		replace bool
		says    []string
	}{
		{"streams that exist", o, file, false, []string{"BELFRY_NOTIFICATIONS (1 messages)", "--replace"}},
		{"another prefix", prefixed, file, true, []string{`nats.prefix ""`, `"acme"`, "--prefix"}},
		{"more copies than servers", copies, file, true, []string{"stream.replicas is 3", "no cluster", "auto"}},
		{"no file", o, file + "x", true, []string{"no such file"}},
		{"a file that is cut off", o, other("cut.tar", whole[:len(whole)*2/3]), true, []string{"cut.tar", "cut off"}},
		{"a newer layout", o, layoutFile(t, bus.Layout+1, "BELFRY_CHANNELS"), true, []string{"layout 2", "knows 1", "Belfry test", "later"}},
		{"another's stream", o, layoutFile(t, bus.Layout, "ORDERS"), true, []string{"ORDERS", "none of Belfry's"}},
	} {
		err := app.Restore(t.Context(), c.o, "", c.file, c.replace, func(r app.Restored) { t.Errorf("%s: it restored %+v", c.name, r) })
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", c.name, err, s)
			}
		}
	}
	if second, err := app.Publish(t.Context(), o, "", app.Publication{Channel: "#1", Data: []byte("y")}); err != nil || second.Seq != first.Seq+1 {
		t.Errorf("the stream is not as it was: %+v, %v", second, err)
	}
}

// layoutFile is a sound file of that layout, with a copy of nothing.
func layoutFile(t *testing.T, layout int, stream string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout.tar")
	w, err := backup.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	_, err = w.Add("e", func(w io.Writer) (backup.Head, error) {
		_, err := io.WriteString(w, `{"stream":"`+stream+`","config":{"name":"`+stream+`"},"state":{"last_seq":1}}`+"\n")
		return backup.Head{Stream: stream}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(backup.Manifest{Belfry: "test", Layout: layout, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return path
}

// A NATS user that lacks the rights is told which, and nothing is left behind.
func TestBackupWithoutTheRight(t *testing.T) {
	n := bustest.Start(t, &bustest.Server{Dir: t.TempDir(), Definitions: app.Permissions(config.Default()), Users: map[string]string{"gateway": "$BELFRY_GATEWAY", "backend": "$BELFRY_BACKEND"}})
	o := apptest.Options(t, func(o *config.Options) { o.NATS.URL = []string{n.URL("gateway")} })
	apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL("gateway")} })
	err := app.Backup(t.Context(), o, "", filepath.Join(t.TempDir(), "belfry.tar"), func(app.BackedUp) {})
	if err == nil || !strings.Contains(err.Error(), "lacks the right to publish to $JS.API.STREAM.SNAPSHOT.") {
		t.Errorf("%v", err)
	}
}

func TestBackupRefuses(t *testing.T) {
	n := apptest.StartNATS(t, true)
	o := apptest.Options(t, func(o *config.Options) { o.NATS.URL = []string{n.OpenURL()} })
	dir := t.TempDir()
	file := filepath.Join(dir, "belfry.tar")
	none := func(app.BackedUp) {}
	if err := app.Backup(t.Context(), o, "", file, none); err == nil || !strings.Contains(err.Error(), "BELFRY_NOTIFICATIONS") {
		t.Errorf("without streams: %v", err)
	}
	apptest.Start(t, func(o *config.Options) { o.NATS.URL = []string{n.URL()} })
	if err := app.Backup(t.Context(), o, "", filepath.Join(dir, "none", "belfry.tar"), none); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("into no directory: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := app.Backup(t.Context(), o, "", file, none); err != nil {
		t.Fatal(err)
	}
	if err := app.Backup(t.Context(), o, "", file, none); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("over a file: %v", err)
	}
}
