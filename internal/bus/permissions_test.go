package bus

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus/bustest"
	"belfry/internal/config"
)

// variants are configurations that need different permissions.
var variants = map[string]func(*config.Options){
	"defaults": func(*config.Options) {},
	"everything renamed": func(o *config.Options) {
		o.NATS.Prefix, o.NATS.Domain, o.NATS.InboxPrefix = "acme-test", "hub", "_INBOX_belfry.gateway"
		o.Subjects = config.Subjects{Authentication: "shop.auth", Authorization: "may", Notification: "shop.notify", Channel: "topic", Live: "tick"}
	},
	"settings updated":  func(o *config.Options) { o.Stream.Manage = "update" },
	"streams by hand":   func(o *config.Options) { o.Stream.Manage, o.MessageChannel.Legacy = "never", false },
	"live only":         func(o *config.Options) { o.Durable = false },
	"with the demo":     func(o *config.Options) { o.Demo = true },
	"the demo and live": func(o *config.Options) { o.Demo, o.Durable = true, false },
}

// guarded starts a server with these users, with JetStream where o wants it.
func guarded(t *testing.T, o config.Options, definitions string, users map[string]string) *bustest.Server {
	t.Helper()
	n := &bustest.Server{Definitions: definitions, Users: users, Domain: o.NATS.Domain}
	if o.Durable {
		n.Dir = t.TempDir()
	}
	return bustest.Start(t, n)
}

// as are the options of a gateway that connects as a user.
func as(o config.Options, n *bustest.Server, user string) config.Options {
	o.NATS.URL = []string{n.URL(user)}
	return o
}

func dialAs(t *testing.T, o config.Options, n *bustest.Server, user string) *Bus {
	t.Helper()
	log, _ := logger(t)
	b, err := Dial(t.Context(), as(o, n, user), "", log)
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(func() { shut(t, b) })
	return b
}

func tryAs(t *testing.T, o config.Options, n *bustest.Server, user string) Tried {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found, err := dialAs(t, o, n, user).TryPermissions(ctx)
	if err != nil {
		t.Fatalf("as %s: %v", user, err)
	}
	return found
}

func names(all []Permission) (names []string) {
	for _, p := range all {
		names = append(names, string(p.Action)+" "+p.Subject)
	}
	return names
}

// Each permission that is taken away is named, and no other.
func TestEachMissingPermissionIsNamed(t *testing.T) {
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := config.Default()
			change(&o)
			all := GatewayPermissions(o)
			var text strings.Builder
			text.WriteString(PermissionsText(o))
			gateway, backend := definitions(o)
			users := map[string]string{"gateway": "$" + gateway, "backend": "$" + backend}
			for i, p := range all {
				without := fmt.Sprintf("WITHOUT_%d", i)
				block(&text, without, slices.Delete(slices.Clone(all), i, i+1), "") // in both forms, with a domain
				users[without] = "$" + without
				if p.Choice {
					t.Errorf("%s %s is a choice", p.Action, p.Subject)
				}
			}
			n := guarded(t, o, text.String(), users)
			if got := tryAs(t, o, n, "gateway"); len(got.Missing)+len(got.Silent) > 0 || len(n.Refused()) > 0 {
				t.Errorf("with all of them: missing %q, silent %q, refused %q", names(got.Missing), names(got.Silent), n.Refused())
			}
			for i, p := range all {
				got := tryAs(t, o, n, fmt.Sprintf("WITHOUT_%d", i))
				p.Subject = cmp.Or(p.Inside, p.Subject)
				want := names([]Permission{p})
				if slices.ContainsFunc(all, func(q Permission) bool {
					return q.Action == p.Action && q.Subject != p.Subject && server.SubjectMatchesFilter(p.Subject, q.Subject)
				}) {
					want = nil // another one is wider
				}
				if !slices.Equal(names(got.Missing), want) || len(got.Silent) > 0 {
					t.Errorf("without %s %s: missing %q, silent %q", p.Action, p.Subject, names(got.Missing), names(got.Silent))
				}
			}
		})
	}
}

// With everything allowed nothing of what is tried stays, and nobody but a
// backend sees any of it.
func TestTryingLeavesNothingBehind(t *testing.T) {
	for _, there := range []bool{false, true} {
		o := config.Default()
		n := guarded(t, o, "", nil)
		admin := dialAs(t, o, n, bustest.Admin)
		js, nc := admin.JetStream(), admin.Conn()
		if there {
			if err := admin.EnsureStreams(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: admin.Names().Cursors()}); err != nil {
				t.Fatal(err)
			}
		}
		before := account(t, js)
		asked := make(chan *nats.Msg, 16)
		for _, question := range []string{"authentication", "authorization"} {
			if _, err := nc.ChanSubscribe(question, asked); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := tryAs(t, o, n, bustest.Admin); len(got.Missing)+len(got.Silent) > 0 || !got.JetStream || !got.Backend {
			t.Errorf("missing %q, silent %q, JetStream %t, backend %t", names(got.Missing), names(got.Silent), got.JetStream, got.Backend)
		}
		if after := account(t, js); after != before {
			t.Errorf("the account before %s\nafter %s", before, after)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if len(asked) != 2 {
			t.Errorf("a backend is asked %d questions", len(asked))
		}
	}
}

// account is what the streams hold.
func account(t *testing.T, js jetstream.JetStream) (text string) {
	t.Helper()
	lister := js.ListStreams(t.Context())
	for info := range lister.Info() {
		text += fmt.Sprintf("%s: %+v %+v\n", info.Config.Name, info.State, info.Config)
	}
	if err := lister.Err(); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatIsFoundBesides(t *testing.T) {
	o := config.Default()
	o.Durable = false // the server has no JetStream
	n := guarded(t, o, "", nil)
	o.Durable = true
	if got := tryAs(t, o, n, bustest.Admin); got.JetStream || got.Backend || len(got.Missing)+len(got.Silent) > 0 {
		t.Errorf("without JetStream or a backend: missing %q, silent %q, JetStream %t, backend %t", names(got.Missing), names(got.Silent), got.JetStream, got.Backend)
	}
}

// What a gateway would say at its start is said without changing anything.
func TestInspect(t *testing.T) {
	o := config.Default()
	n := guarded(t, o, "", nil)
	b := dialAs(t, o, n, bustest.Admin)
	expect := func(b *Bus, want string) {
		t.Helper()
		says, err := b.Inspect(t.Context())
		if got := fmt.Sprint(says, err); !strings.Contains(got, want) {
			t.Errorf("inspect says %s, want %q", got, want)
		}
	}
	expect(b, "BELFRY_NOTIFICATIONS does not exist, a gateway creates it")
	never, update := o, o
	never.Stream.Manage, update.Stream.Manage = "never", "update"
	expect(dialAs(t, never, n, bustest.Admin), "does not exist and stream.manage is never")
	if got := account(t, b.JetStream()); got != "" {
		t.Fatalf("there is %s", got)
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(b, "stream BELFRY_CHANNELS is there, with 0 messages] <nil>")
	have, err := b.JetStream().Stream(t.Context(), "BELFRY_CHANNELS")
	if err != nil {
		t.Fatal(err)
	}
	config := have.CachedInfo().Config
	config.AllowDirect = false
	if _, err := b.JetStream().UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	expect(b, "allow_direct is off")
	expect(dialAs(t, update, n, bustest.Admin), "BELFRY_CHANNELS needs other settings, a gateway changes them")
	if _, err := b.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALL", Subjects: []string{"authentication"}}); err != nil {
		t.Fatal(err)
	}
	expect(dialAs(t, update, n, bustest.Admin), "stream ALL captures")
}

// A NATS that takes connections and says nothing, at once or later, holds
// nobody up.
func TestTryingIsBounded(t *testing.T) {
	o := config.Default()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	log, _ := logger(t)
	began := time.Now()
	if _, err := Dial(t.Context(), o, "nats://"+silent.Addr().String(), log); err == nil {
		t.Error("connected to a silent server")
	}
	if took := time.Since(began); took > 2*dialTimeout {
		t.Errorf("a silent server takes %v", took)
	}

	n := guarded(t, o, "", nil)
	b := dialAs(t, o, n, bustest.Admin)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.TryPermissions(ctx); err == nil {
		t.Error("tried on when its time was over")
	}
	b.Conn().Close()
	if _, err := b.TryPermissions(t.Context()); err == nil {
		t.Error("tried on without a connection")
	}
}

// What is held back on the way is not called missing.
func TestSilence(t *testing.T) {
	o := config.Default()
	n := guarded(t, o, "", nil)
	backend := dialAs(t, o, n, bustest.Admin).Conn()
	domain := o
	domain.NATS.Domain = "elsewhere" // whose API somebody takes, and answers nothing
	if _, err := backend.Subscribe("$JS.elsewhere.API.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := backend.Flush(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := tryAs(t, domain, n, bustest.Admin)
	if len(got.Missing) > 0 || !slices.Contains(names(got.Silent), "publish $JS.elsewhere.API.STREAM.INFO.BELFRY_CHANNELS") {
		t.Errorf("missing %q, silent %q", names(got.Missing), names(got.Silent))
	}
	if took := time.Since(began); took > 2*answerWithin {
		t.Errorf("silence takes %v", took)
	}
}

// A backend's permissions are for what it does, and not for what a gateway does.
func TestPermissionsTextOfABackend(t *testing.T) {
	o := config.Default()
	o.NATS.Prefix = "acme"
	text := PermissionsText(o)
	for _, line := range []string{`"acme.notification.*"`, `# "acme.*"`, `"acme.live.>"`, "allow_responses = true", "BELFRY_BACKEND_ACME = {", `"acme.notification_42"`} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

// A leaf node before the domain looks at permissions for the domain's own
// subjects, the first of the two forms that are printed.
func TestPermissionsBehindALeafNode(t *testing.T) {
	o := config.Default()
	o.NATS.Domain = "hub"
	hub := bustest.Start(t, &bustest.Server{Dir: t.TempDir(), Domain: "hub", More: `leafnodes { listen: "127.0.0.1:-1" }`})
	all := GatewayPermissions(o)
	for i := range all {
		all[i].Inside = ""
	}
	var first strings.Builder
	block(&first, "FIRST", all, "")
	n := bustest.Start(t, &bustest.Server{
		Definitions: first.String(), Users: map[string]string{"gateway": "$FIRST"},
		More: fmt.Sprintf("leafnodes { reconnect: 1s, remotes = [ {url: %q} ] }", hub.LeafURL(bustest.Admin)),
	})
	deadline := time.Now().Add(patience)
	for {
		got := tryAs(t, o, n, "gateway")
		if got.JetStream && len(got.Missing)+len(got.Silent) == 0 {
			break
		}
		if time.Now().After(deadline) { // the leaf node takes a moment to connect
			t.Fatalf("missing %q, silent %q, JetStream %t", names(got.Missing), names(got.Silent), got.JetStream)
		}
	}
	if refused := slices.Concat(n.Refused(), hub.Refused()); len(refused) > 0 {
		t.Errorf("refused %q", refused)
	}
}
