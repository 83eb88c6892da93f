package app_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/bus/bustest"
	"belfry/internal/config"
	"belfry/internal/subject"
)

// A product is a NATS whose users have the permissions of one configuration and
// no others, and the backend's connection to it.
type product struct {
	t       *testing.T
	nats    *bustest.Server
	names   subject.Names
	change  func(*config.Options)
	backend *nats.Conn
	js      jetstream.JetStream
}

// startProduct starts a NATS, where leaf is set as a leaf node without JetStream
// before the one that has it.
func startProduct(t *testing.T, leaf bool, change func(*config.Options)) *product {
	t.Helper()
	o := config.Default()
	change(&o)
	text := app.Permissions(o)
	p := &product{t: t, change: change, names: subject.Default(o.NATS.Prefix)}
	suffix := ""
	if o.NATS.Prefix != "" {
		suffix = "_" + strings.ToUpper(o.NATS.Prefix)
	}
	p.nats = &bustest.Server{Definitions: text, Domain: o.NATS.Domain, Users: map[string]string{"gateway": "$BELFRY_GATEWAY" + suffix, "backend": "$BELFRY_BACKEND" + suffix}}
	switch {
	case leaf: // the streams are behind it
		hub := bustest.Start(t, &bustest.Server{Dir: t.TempDir(), Domain: o.NATS.Domain, More: `leafnodes { listen: "127.0.0.1:-1" }`})
		p.nats.More = fmt.Sprintf("leafnodes { reconnect: 1s, remotes = [ {url: %q} ] }", hub.LeafURL(bustest.Admin))
	case o.Durable:
		p.nats.Dir = t.TempDir()
	}
	bustest.Start(t, p.nats)
	t.Cleanup(func() {
		if refused := p.nats.Refused(); len(refused) > 0 {
			t.Errorf("NATS refused:\n%s", strings.Join(refused, "\n"))
		}
	})
	p.backend = apptest.Backend(t, p.nats.URL("backend"), o.NATS.Prefix)
	if _, err := p.backend.QueueSubscribe(p.names.Authorization(), "backends", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"success":true}`))
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.backend.Flush(); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.js, err = jetstream.New(p.backend); err != nil {
		t.Fatal(err)
	}
	return p
}

// options are what a gateway of it adds to the defaults.
func (p *product) options(o *config.Options) {
	p.change(o)
	o.NATS.URL = []string{p.nats.URL("gateway")}
}

// gateway starts one.
func (p *product) gateway() *app.App {
	p.t.Helper()
	return apptest.Start(p.t, p.options)
}

// store publishes as a backend does, with ack and id.
func (p *product) store(subj string, payloads ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), apptest.Patience)
	defer cancel()
	for _, data := range payloads {
		if _, err := p.js.Publish(ctx, subj, []byte(data), jetstream.WithMsgID(subj+":"+data)); err != nil {
			p.t.Fatalf("publish on %s: %v", subj, err)
		}
	}
}

func (p *product) behind(subj string) string {
	if p.names.Prefix == "" {
		return subj
	}
	return p.names.Prefix + "." + subj
}

// Everything durable works with the permissions that are printed, and asks for
// no others.
func TestDurableWithThePrintedPermissions(t *testing.T) {
	for name, change := range map[string]func(*config.Options){
		"defaults":                  func(*config.Options) {},
		"prefix, inbox":             func(o *config.Options) { o.NATS.Prefix, o.NATS.InboxPrefix = "acme", "_INBOX_gateway" },
		"domain":                    func(o *config.Options) { o.NATS.Domain, o.Stream.Manage = "hub", "update" },
		"domain behind a leaf node": func(o *config.Options) { o.NATS.Domain = "hub" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it takes a gateway up to 10 s to see another epoch
			p := startProduct(t, strings.Contains(name, "leaf node"), change)
			one, two := p.gateway(), p.gateway()
			user, orders := p.behind("notification.1"), p.behind("channel.orders")

			socket := apptest.Listen(t, one, "1")
			events := apptest.Follow(t, two.Addresses().Public, "2", "channels", "orders").Started()
			p.store(user, "a", "b")
			p.store(orders, "c")
			apptest.Publish(t, p.backend, p.behind("live.orders"), "live")
			socket.Expect("a", "b")
			got := []string{events.News().Data, events.News().Data}
			slices.Sort(got)
			if want := []string{"c", "live"}; !slices.Equal(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}

			// Away, on either dialect; back at the other gateway, and after NATS was away too.
			socket.Close()
			at := events.LastID()
			events.Close()
			apptest.MetricBecomes(t, one, `belfry_connections{dialect="messagechannel"}`, 0)
			p.nats.Down()
			apptest.MetricBecomes(t, one, "belfry_nats_connected", 0)
			p.nats.Up()
			for _, a := range []*app.App{one, two} {
				apptest.MetricBecomes(t, a, "belfry_nats_connected", 1)
			}
			apptest.Eventually(t, "the backend is back", func() bool { return p.backend.IsConnected() })
			p.store(user, "d", "e", "f")
			p.store(orders, "g")
			back := apptest.Listen(t, two, "1")
			first := back.Next()
			for first == "a" || first == "b" { // closed before it could confirm them
				first = back.Next()
			}
			if first != "d" {
				t.Fatalf("got %q, want d", first)
			}
			back.Expect("e", "f")
			events = apptest.Follow(t, one.Addresses().Public, "2", "channels", "orders", "last-event-id", at)
			events.Expect("g")

			// Published by the gateway's own user, and another epoch.
			o := apptest.Options(t, p.options)
			r, err := app.Publish(t.Context(), o, "", app.Publication{Channel: "#2", Data: []byte("h")})
			if err != nil {
				t.Fatalf("publish as the gateway's user: %v", err)
			}
			if r.Position == "" {
				t.Errorf("receipt %+v", r)
			}
			events.Expect("h")
			if _, err := app.RotateEpochs(t.Context(), o, ""); err != nil {
				t.Fatalf("rotate as the gateway's user: %v", err)
			}
			events.ExpectReset("epoch")
			p.store(p.behind("notification.2"), "i")
			for b := events.News(); b.Data != "i"; b = events.News() {
				if b.Event != "reset" { // the other stream's
					t.Fatalf("got %q, want i", b)
				}
			}
			back.Close()
			apptest.MetricBecomes(t, two, `belfry_connections{dialect="messagechannel"}`, 0)
		})
	}
}

// The same for what is live only.
func TestLiveWithThePrintedPermissions(t *testing.T) {
	p := startProduct(t, false, func(o *config.Options) { o.Durable = false })
	a := p.gateway()
	c := apptest.Listen(t, a, "1")
	apptest.Subscribed(t, a, 1)
	apptest.Publish(t, p.backend, "notification.1", "a", "b")
	c.Expect("a", "b")
}

// CheckNATS says so where all is well, and names what is missing.
func TestCheckNATS(t *testing.T) {
	p := startProduct(t, false, func(*config.Options) {})
	for _, user := range []string{"gateway", bustest.Admin} {
		f := check(t, p, user)
		if f.Lacks() || len(f.Missing) > 0 || f.Tried < 20 || !strings.Contains(fmt.Sprint(f.Says), "BELFRY_CHANNELS") || strings.Contains(f.NATS, "@") {
			t.Errorf("as %s: %+v", user, f)
		}
	}
	before := p.nats.Refused()
	f := check(t, p, "backend")
	missing := map[string]app.Grant{}
	for _, g := range f.Missing {
		missing[g.Action+" "+g.Subject] = g
	}
	for _, want := range []string{"publish authentication", "publish $JS.API.STREAM.UPDATE.BELFRY_CHANNELS", "publish $KV.BELFRY_CURSORS.>", "subscribe live.>", "subscribe *"} {
		if missing[want].Why == "" {
			t.Errorf("as a backend: %s is not missing, but %q", want, slices.Sorted(maps.Keys(missing)))
		}
	}
	if !f.Lacks() || len(f.Missing) == f.Tried {
		t.Errorf("as a backend %d of %d are missing", len(f.Missing), f.Tried)
	}
	if len(p.nats.Refused()) == len(before) {
		t.Error("NATS has refused nothing")
	}
	p.nats.Forget()
}

func check(t *testing.T, p *product, user string) app.Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Patience)
	defer cancel()
	o := apptest.Options(t, p.change)
	f, err := app.CheckNATS(ctx, o, p.nats.URL(user))
	if err != nil {
		t.Fatalf("as %s: %v", user, err)
	}
	return f
}
