package bus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/config"
)

func configOf(t *testing.T, b *Bus, stream string) jetstream.StreamConfig {
	t.Helper()
	s, err := b.JetStream().Stream(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestStreamsHaveTheirFinalSettings(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	ensured(t, b)
	for name, subject := range map[string]string{"BELFRY_NOTIFICATIONS": "notification.*", "BELFRY_CHANNELS": "channel.>"} {
		c := configOf(t, b, name)
		if len(c.Subjects) != 1 || c.Subjects[0] != subject {
			t.Errorf("%s: subjects %v", name, c.Subjects)
		}
		right := c.Storage == jetstream.FileStorage && c.AllowDirect && c.AllowMsgTTL && c.Discard == jetstream.DiscardOld &&
			c.Retention == jetstream.LimitsPolicy && c.MaxAge == 30*24*time.Hour && c.MaxBytes == 1<<30 && c.MaxMsgs == -1 &&
			c.MaxMsgsPerSubject == -1 && c.Duplicates == 2*time.Minute && c.Replicas == 1 && c.RePublish == nil &&
			c.Metadata[LayoutKey] == "1"
		if !right {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestMaxAgeBelowTheDuplicateWindow(t *testing.T) {
	o := inside(t)
	o.Stream.MaxAge = time.Minute
	b := start(t, o)
	ensured(t, b)
	if c := configOf(t, b, "BELFRY_CHANNELS"); c.Duplicates != time.Minute {
		t.Errorf("duplicate window %v", c.Duplicates)
	}
}

// Two products on one NATS: no subject and no stream in common.
func TestPrefixesNeverCross(t *testing.T) {
	s := another(t, nil)
	buses := map[string]*Bus{}
	for _, prefix := range []string{"", "acme", "other"} {
		o := outside(s.ClientURL())
		o.NATS.Prefix = prefix
		buses[prefix] = start(t, o)
		eventually(t, "it connects", func() bool { return connected(buses[prefix]) })
		ensured(t, buses[prefix])
	}
	for prefix, b := range buses {
		subject, err := b.Names().User("42")
		if err != nil {
			t.Fatal(err)
		}
		ack, err := b.Publish(within(t), subject, "same-id", []byte(prefix))
		if err != nil || ack.Duplicate || ack.Seq != 1 || ack.Stream != b.Names().Notifications() {
			t.Errorf("prefix %q: %+v, %v", prefix, ack, err)
		}
	}
	echo(t, buses["acme"], buses["acme"].Names().Auth())
	if _, err := ask(buses["acme"], buses["acme"].Names().Auth(), "token", patience); err != nil {
		t.Error(err)
	}
	if _, err := ask(buses["other"], buses["other"].Names().Auth(), "token", patience); !errors.Is(err, ErrUnavailable) {
		t.Errorf("another product's backend answered: %v", err)
	}
	want := []string{"BELFRY_CHANNELS", "BELFRY_NOTIFICATIONS", "acme_BELFRY_CHANNELS", "acme_BELFRY_NOTIFICATIONS", "other_BELFRY_CHANNELS", "other_BELFRY_NOTIFICATIONS"}
	n := 0
	for range buses[""].JetStream().StreamNames(within(t)).Name() {
		n++
	}
	if n != len(want) {
		t.Errorf("%d streams, want %v", n, want)
	}
}

// ours is a stream as Belfry would make it, for a test to spoil.
func ours() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "BELFRY_NOTIFICATIONS", Subjects: []string{"notification.*"}, AllowDirect: true, AllowMsgTTL: true,
		MaxAge: 30 * 24 * time.Hour, MaxBytes: 1 << 30,
	}
}

func TestExistingStreams(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(*jetstream.StreamConfig)
		words  []string
		mended bool // by stream.manage: update
	}{
		{"fit", func(*jetstream.StreamConfig) {}, nil, true},
		{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.*"} }, []string{"[other.*]", "[notification.*]"}, true},
		{"more subjects", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "other.*") }, []string{"other.*"}, true},
		{"allow_direct", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, []string{"allow_direct"}, true},
		{"interest", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, []string{"retention is interest"}, true},
		{"work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, []string{"retention is workqueue"}, false},
		{"discard", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew }, []string{"discard must be old"}, true},
		{"no ack", func(c *jetstream.StreamConfig) { c.NoAck = true }, []string{"no_ack"}, true},
		{"transform", func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "notification.*", Destination: "moved.{{wildcard(1)}}"}
		}, []string{"subject_transform"}, true},
		{"async", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, []string{"persist_mode", "nats.prefix"}, false},
		{"mirror", func(c *jetstream.StreamConfig) { c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: "ORIGIN"} }, []string{"mirror", "nats.prefix"}, false},
		{"newer", func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{LayoutKey: "2"} }, []string{`layout "2"`, "newer Belfry"}, false},
		{"two at once", func(c *jetstream.StreamConfig) { c.AllowDirect, c.Discard = false, jetstream.DiscardNew }, []string{"allow_direct", "discard must be old"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := another(t, nil)
			operator, _ := jetstream.New(client(t, s.ClientURL()))
			if _, err := operator.CreateStream(within(t), jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"origin"}}); err != nil {
				t.Fatal(err)
			}
			c := ours()
			test.spoil(&c)
			if _, err := operator.CreateStream(within(t), c); err != nil {
				t.Fatal(err)
			}
			for _, manage := range []string{"create", "never", "update"} {
				o := outside(s.ClientURL())
				o.Stream.Manage = manage
				b := start(t, o)
				eventually(t, "it connects", func() bool { return connected(b) })
				err := b.EnsureStreams(within(t))
				if words := test.words; len(words) > 0 && (manage != "update" || !test.mended) {
					says(t, err, append(words, "BELFRY_NOTIFICATIONS")...)
					if !errors.Is(err, ErrMisconfigured) {
						t.Errorf("%s: time does not mend it: %v", manage, err)
					}
				} else if err != nil && !strings.Contains(err.Error(), "BELFRY_CHANNELS does not exist") {
					t.Errorf("%s: %v", manage, err)
				}
			}
		})
	}
}

func TestSealedStream(t *testing.T) {
	s := another(t, nil)
	b := start(t, outside(s.ClientURL()))
	eventually(t, "it connects", func() bool { return connected(b) })
	ensured(t, b)
	c := configOf(t, b, "BELFRY_CHANNELS")
	c.Sealed = true
	if _, err := b.JetStream().UpdateStream(within(t), c); err != nil {
		t.Fatal(err)
	}
	says(t, b.EnsureStreams(within(t)), "BELFRY_CHANNELS", "sealed")
}

func TestUpdateKeepsWhatItDoesNotKnow(t *testing.T) {
	s := another(t, nil)
	operator, _ := jetstream.New(client(t, s.ClientURL()))
	c := ours()
	c.Metadata = map[string]string{"belfry_epoch": "7", "owner": "platform"}
	c.Description, c.MaxMsgSize, c.MaxMsgsPerSubject, c.Compression = "of ours", 4096, 10, jetstream.S2Compression
	if _, err := operator.CreateStream(within(t), c); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Publish(within(t), "notification.1", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	with := func(manage string) *Bus {
		o := outside(s.ClientURL())
		o.Stream = config.Stream{Manage: manage, MaxAge: time.Hour, MaxBytes: 1 << 20}
		log, lines := logger(t)
		b := startWith(t, o, log)
		eventually(t, "it connects", func() bool { return connected(b) })
		ensured(t, b)
		if manage == "create" && (!strings.Contains(lines.String(), "max_msgs_per_subject is 10") || !strings.Contains(lines.String(), "stream.max_age 1h")) {
			t.Error("the log does not mention the other settings")
		}
		return b
	}
	if c := configOf(t, with("create"), "BELFRY_NOTIFICATIONS"); c.MaxAge != 30*24*time.Hour || c.MaxMsgsPerSubject != 10 || c.Metadata[LayoutKey] != "1" || c.Metadata["belfry_epoch"] != "7" {
		t.Errorf("create changed more than the layout: %+v", c)
	}
	b := with("update")
	c = configOf(t, b, "BELFRY_NOTIFICATIONS")
	if c.MaxAge != time.Hour || c.MaxBytes != 1<<20 || c.MaxMsgsPerSubject != -1 || c.Metadata[LayoutKey] != "1" {
		t.Errorf("not updated: %+v", c)
	}
	if c.Metadata["belfry_epoch"] != "7" || c.Metadata["owner"] != "platform" || c.Description != "of ours" || c.MaxMsgSize != 4096 || c.Compression != jetstream.S2Compression {
		t.Errorf("not kept: %+v", c)
	}
	if n := stored(t, b, "BELFRY_NOTIFICATIONS"); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// TestMark: a stream of a version before there were layouts is accepted, and
// marked, but with manage: never.
func TestMark(t *testing.T) {
	for manage, want := range map[string]string{"never": "", "create": "1", "update": "1"} {
		for _, before := range []string{"", "0"} {
			s := another(t, nil)
			operator, _ := jetstream.New(client(t, s.ClientURL()))
			for _, c := range []jetstream.StreamConfig{ours(), {Name: "BELFRY_CHANNELS", Subjects: []string{"channel.>"}, AllowDirect: true}} {
				c.Metadata = map[string]string{"owner": "platform"}
				if before != "" {
					c.Metadata[LayoutKey] = before
				}
				if _, err := operator.CreateStream(within(t), c); err != nil {
					t.Fatal(err)
				}
			}
			o := outside(s.ClientURL())
			o.Stream.Manage = manage
			b := start(t, o)
			eventually(t, "it connects", func() bool { return connected(b) })
			ensured(t, b)
			if manage == "never" {
				want = before
			}
			for _, name := range []string{"BELFRY_NOTIFICATIONS", "BELFRY_CHANNELS"} {
				if c := configOf(t, b, name); c.Metadata[LayoutKey] != want || c.Metadata["owner"] != "platform" {
					t.Errorf("manage %s, layout %q before: the metadata of %s is %v", manage, before, name, c.Metadata)
				}
			}
		}
	}
}

// TestRestoring: no gateway starts on a stream that is there in part; when it is
// whole one does.
func TestRestoring(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	change := func(f func(map[string]string)) {
		t.Helper()
		if err := b.ChangeMetadata(within(t), "BELFRY_CHANNELS", f); err != nil {
			t.Fatal(err)
		}
	}
	change(func(meta map[string]string) { meta[RestoringKey] = "copy.tar" })
	err := b.EnsureStreams(within(t))
	says(t, err, "BELFRY_CHANNELS", "copy.tar", "restore --replace")
	if errors.Is(err, ErrMisconfigured) {
		t.Error("it passes when the restore is done")
	}
	change(func(meta map[string]string) { delete(meta, RestoringKey) })
	ensured(t, b)
}

func TestNeverWithoutStreams(t *testing.T) {
	o := inside(t)
	o.Stream.Manage = "never"
	b := start(t, o)
	err := b.EnsureStreams(within(t))
	says(t, err, "BELFRY_NOTIFICATIONS", "does not exist", "stream.manage: create", "notification.*")
	if errors.Is(err, ErrMisconfigured) {
		t.Error("somebody may still create it")
	}
	// As soon as somebody has, all is well.
	c := ours()
	if _, err := b.JetStream().CreateStream(within(t), c); err != nil {
		t.Fatal(err)
	}
	c.Name, c.Subjects = "BELFRY_CHANNELS", []string{"channel.>"}
	if _, err := b.JetStream().CreateStream(within(t), c); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureStreams(within(t)); err != nil {
		t.Error(err)
	}
}

func TestOverlapNamesTheOtherStream(t *testing.T) {
	b := start(t, inside(t))
	if _, err := b.JetStream().CreateStream(within(t), jetstream.StreamConfig{Name: "EVERYTHING", Subjects: []string{"notification.>"}}); err != nil {
		t.Fatal(err)
	}
	err := b.EnsureStreams(within(t))
	says(t, err, "EVERYTHING", "overlaps", "notification.*", "nats.prefix")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}
}

// Without JetStream a durable gateway waits and says why; a live one needs none.
func TestExternalWithoutJetStream(t *testing.T) {
	s := another(t, func(o *server.Options) { o.JetStream = false })
	o := outside(s.ClientURL())
	b := start(t, o)
	eventually(t, "it connects", func() bool { return connected(b) })
	began := time.Now()
	err := b.EnsureStreams(within(t))
	says(t, err, "JetStream", "durable: false")
	if errors.Is(err, ErrMisconfigured) || time.Since(began) > patience/2 {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	o.Durable = false
	reaches(t, o)
}

func TestReplicasNeedACluster(t *testing.T) {
	for _, o := range []config.Options{inside(t), outside(another(t, nil).ClientURL())} {
		o.Stream.Replicas = 3
		b := start(t, o)
		eventually(t, "it connects", func() bool { return connected(b) })
		err := b.EnsureStreams(within(t))
		says(t, err, "stream.replicas is 3", "auto or 1")
		if !errors.Is(err, ErrMisconfigured) {
			t.Error("time does not mend it")
		}
	}
}

// A user that may not list streams is served, and the log says what that costs.
func TestUserThatMayNotListStreams(t *testing.T) {
	s := another(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "belfry", Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.LIST"}},
		}}}
		o.NoAuthUser = "belfry"
	})
	o := outside(s.ClientURL())
	log, lines := logger(t)
	b := startWith(t, o, log)
	eventually(t, "it connects", func() bool { return connected(b) })
	for range 2 {
		ctx, cancel := shortly()
		if err := b.EnsureStreams(ctx); err == nil || errors.Is(err, ErrMisconfigured) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	ctx, cancel := shortly()
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Error(err)
	}
	if !strings.Contains(lines.String(), "streams can't be listed") {
		t.Error("nothing in the log")
	}
	if _, err := b.Publish(within(t), "notification.1", "", nil); err != nil {
		t.Error(err)
	}
}

// What subjects.* renames is renamed in the streams too.
func TestRenamedSubjects(t *testing.T) {
	o := inside(t)
	o.NATS.Prefix = "acme"
	o.Subjects = config.Subjects{Authentication: "who", Authorization: "may", Notification: "note", Channel: "topic", Live: "tick"}
	b := start(t, o)
	ensured(t, b)
	n := b.Names()
	live, err := n.Live("eu")
	if err != nil || live != "acme.tick.eu" || n.Auth() != "acme.who" || n.Authorization() != "acme.may" || n.Users() != "acme.note.*" {
		t.Errorf("names are %+v, %v", n, err)
	}
	subject, err := n.Channel("eu")
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := b.Publish(within(t), subject, "", []byte("x")); err != nil || ack.Stream != n.Channels() || subject != "acme.topic.eu" {
		t.Errorf("published on %s: %+v, %v", subject, ack, err)
	}
}
