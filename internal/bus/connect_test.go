package bus

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"belfry/internal/config"
	"belfry/internal/verify/line"
)

func TestExternal(t *testing.T) {
	b := start(t, outside(another(t, nil).ClientURL()))
	if b.Embedded() {
		t.Error("it says embedded")
	}
	ensured(t, b)
	echo(t, b, "echo")
	if m, err := ask(b, "echo", "x", patience); err != nil || string(m.Data) != "x" {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestStartDoesNotWaitForAnExternalNATS(t *testing.T) {
	free := freePort(t)
	log, lines := logger(t)
	b := startWith(t, outside("nats://127.0.0.1:"+strconv.Itoa(free)), log)
	since, away := b.Away()
	if !away || time.Since(since) > patience {
		t.Fatalf("away %v since %v", away, since)
	}
	var back atomic.Int32
	b.OnReconnect(func() { back.Add(1) })
	err := b.EnsureStreams(within(t))
	says(t, err, "127.0.0.1", "away")
	if errors.Is(err, ErrMisconfigured) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("time mends it: %v", err)
	}
	if _, err := ask(b, "echo", "", time.Minute); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a request: %v", err)
	}
	withHeader := make(chan error, 1)
	b.Request(&nats.Msg{Subject: "echo", Header: nats.Header{"A": {"b"}}}, time.Minute, func(_ *nats.Msg, err error) { withHeader <- err })
	if err := <-withHeader; !errors.Is(err, ErrUnavailable) {
		t.Errorf("a request with a header: %v", err)
	}
	eventually(t, "the log says that it can't be reached", func() bool { return strings.Contains(lines.String(), "can't be reached") })

	another(t, func(o *server.Options) { o.Port = free })
	eventually(t, "it connects", func() bool { return connected(b) })
	ensured(t, b)
	eventually(t, "OnReconnect is called", func() bool { return back.Load() == 1 })
}

// Requests and publishes while NATS is away fail at once instead of waiting in
// the client's buffer; after it is back both work, on the same subscription.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	in := func(o *server.Options) { o.StoreDir = dir }
	s := another(t, in)
	log, lines := logger(t)
	b := startWith(t, outside(s.ClientURL()), log)
	ensured(t, b)
	silent(t, b, "silent")
	var back atomic.Int32
	b.OnReconnect(func() { back.Add(1) })
	underWay := make(chan error, 1)
	b.Request(&nats.Msg{Subject: "silent"}, time.Minute, func(_ *nats.Msg, err error) { underWay <- err })

	restart := again(t, s, dir, nil)
	if err := <-underWay; !errors.Is(err, ErrUnavailable) {
		t.Errorf("under way: %v", err)
	}
	eventually(t, "it is away", func() bool { return !connected(b) })
	began := time.Now()
	for range 1000 {
		if _, err := ask(b, "echo", "x", time.Minute); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a thousand requests took %v to fail", took)
	}
	if err := b.Conn().Publish("notification.1", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("a core publish: %v", err)
	}
	if n, err := b.Conn().Buffered(); err == nil && n > 0 {
		t.Errorf("%d bytes wait", n)
	}

	restart()
	eventually(t, "it is back", func() bool { return connected(b) })
	ensured(t, b)
	echo(t, b, "echo")
	if m, err := ask(b, "echo", "x", patience); err != nil || string(m.Data) != "x" {
		t.Errorf("got %v, %v", m, err)
	}
	eventually(t, "OnReconnect is called", func() bool { return back.Load() == 1 })
	for _, line := range []string{"NATS is away", "NATS is back"} {
		if !strings.Contains(lines.String(), line) {
			t.Errorf("not in the log: %s", line)
		}
	}
}

// A NATS that reads nothing more, and is not gone, is away: whoever sends is held
// up for seconds, and told so from then on.
func TestAStalledNATSIsAway(t *testing.T) {
	s := another(t, nil)
	p, err := line.Listen(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	b := start(t, outside("nats://"+p.Addr()))
	ensured(t, b)
	p.Freeze()
	var sending sync.WaitGroup
	began := time.Now()
	for range 4 {
		sending.Go(func() {
			for b.Conn().Publish("notification.1", make([]byte, 512<<10)) == nil {
			}
		})
	}
	sent := make(chan struct{})
	go func() {
		sending.Wait()
		close(sent)
	}()
	eventually(t, "it is away", func() bool { return !connected(b) })
	if took := time.Since(began); took > patience { // asking waits for the write too
		t.Errorf("it is away after %v, want %v", took, patience)
	}
	select {
	case <-sent:
	case <-time.After(patience):
		t.Error("somebody still waits for a message to be sent")
	}
	p.Heal()
	eventually(t, "it is back", func() bool { return connected(b) })
	if _, err := b.Publish(within(t), "notification.1", "", nil); err != nil {
		t.Error(err)
	}
}

// What the server sends as an error that the library does not know ends the
// connection: somebody has to be told.
func TestAConnectionThatIsLostForGood(t *testing.T) {
	options := &server.Options{}
	s := another(t, func(o *server.Options) { options = o })
	log, lines := logger(t)
	b := startWith(t, outside(s.ClientURL()), log)
	eventually(t, "it connects", func() bool { return connected(b) })
	lower := options.Clone()
	lower.MaxPayload = 1 << 10
	if err := s.ReloadOptions(lower); err != nil {
		t.Fatal(err)
	}
	_ = b.Conn().Publish("large", make([]byte, 100<<10))
	select {
	case err := <-b.Lost():
		says(t, err, "for good", "Maximum Payload")
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("nobody is told")
	}
	if _, away := b.Away(); !away {
		t.Error("it does not count as away")
	}
	if !contains(lines, "for good") {
		t.Error("not in the log")
	}
	shut(t, b)

	b = startWith(t, outside(s.ClientURL()), log)
	shut(t, b)
	if len(b.Lost()) > 0 {
		t.Error("a Close is told as a loss")
	}

	b = startWith(t, outside(s.ClientURL()), log)
	eventually(t, "it connects", func() bool { return connected(b) })
	b.Leave()
	<-b.closed // behind the handler
	if len(b.Lost()) > 0 {
		t.Error("a Leave is told as a loss")
	}
}

// The library gives up after two refusals, unless told not to.
func TestRefusedCredentialsAreTriedOn(t *testing.T) {
	s := another(t, func(o *server.Options) { o.Username, o.Password = "belfry", "right" })
	url := s.ClientURL()
	o := outside(url)
	o.NATS.User, o.NATS.Password = "belfry", "right"
	log, lines := logger(t)
	b := startWith(t, o, log)
	eventually(t, "it connects", func() bool { return connected(b) })
	with := func(password string) func(*server.Options) {
		return func(o *server.Options) { o.Username, o.Password = "belfry", password }
	}
	dir := t.TempDir()
	wrong := again(t, s, dir, with("other"))()
	eventually(t, "it is refused", func() bool { return strings.Contains(lines.String(), "authorization violation") })
	// Long enough for the third refusal: each is a connection of the server's.
	eventually(t, "it tries on", func() bool {
		v, err := wrong.Varz(nil)
		return err == nil && v.TotalConnections >= 4
	})
	says(t, b.EnsureStreams(within(t)), "away", "authorization violation")
	again(t, wrong, dir, with("right"))()
	eventually(t, "it is back", func() bool { return connected(b) })
	if strings.Contains(lines.String(), "right") || strings.Contains(lines.String(), "other") {
		t.Error("a password is in the log")
	}
}

func TestNKey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	s := another(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	o := outside(s.ClientURL())
	o.NATS.NKey = file(t, "user.nk", seed)
	reaches(t, o)
	o.NATS.NKey = filepath.Join(t.TempDir(), "none.nk")
	refused(t, o, "nats.nkey", "none.nk")
}

func TestCredentialsFile(t *testing.T) {
	operator, _ := nkeys.CreateOperator()
	account, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	public := func(pair nkeys.KeyPair) string { key, _ := pair.PublicKey(); return key }
	sign := func(claims interface {
		Encode(nkeys.KeyPair) (string, error)
	}, pair nkeys.KeyPair) string {
		t.Helper()
		text, err := claims.Encode(pair)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	oc, ac, uc := jwt.NewOperatorClaims(public(operator)), jwt.NewAccountClaims(public(account)), jwt.NewUserClaims(public(user))
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(public(account), sign(ac, operator)); err != nil {
		t.Fatal(err)
	}
	sign(oc, operator)
	s := another(t, func(o *server.Options) {
		o.TrustedOperators, o.AccountResolver = []*jwt.OperatorClaims{oc}, resolver
		o.JetStream = false
	})
	seed, _ := user.Seed()
	creds, err := jwt.FormatUserConfig(sign(uc, account), seed)
	if err != nil {
		t.Fatal(err)
	}
	o := outside(s.ClientURL())
	o.Durable = false
	o.NATS.Credentials = file(t, "user.creds", creds)
	reaches(t, o)
	o.NATS.Credentials = file(t, "wrong.creds", []byte("nothing of the kind"))
	refused(t, o, "nats.credentials", "wrong.creds")
	o.NATS.Credentials = "/nowhere/user.creds"
	refused(t, o, "nats.credentials", "/nowhere/user.creds")
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "server")
	s := another(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
		var err error
		o.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: cert, KeyFile: key, CaFile: ca.file, Verify: true})
		if err != nil {
			t.Fatal(err)
		}
	})
	o := outside(s.ClientURL())
	o.NATS.CA = ca.file
	o.NATS.Cert, o.NATS.Key = ca.issue(t, "belfry")
	reaches(t, o)

	// Without a certificate, or with another authority, it is kept out.
	for _, change := range []func(*config.NATS){
		func(n *config.NATS) { n.Cert, n.Key = "", "" },
		func(n *config.NATS) { n.CA = newAuthority(t).file },
	} {
		bad := o
		change(&bad.NATS)
		log, lines := logger(t)
		b := startWith(t, bad, log)
		eventually(t, "the log says that it can't be reached", func() bool { return strings.Contains(lines.String(), "can't be reached") })
		if connected(b) {
			t.Error("it is connected")
		}
	}
	bad := o
	bad.NATS.CA = file(t, "ca.pem", []byte("no certificate"))
	refused(t, bad, "nats.ca")
	bad = o
	bad.NATS.Cert = "/nowhere/cert.pem"
	refused(t, bad, "nats.cert and nats.key", "/nowhere/cert.pem")
}

func TestBadURLsAreNotQuoted(t *testing.T) {
	for _, url := range []string{"nats://user:s3cret@[::1", "nats://user:s3cret@", "nats://user:s3c%ret@host:1"} {
		log, lines := logger(t)
		_, err := Start(outside(url), log)
		says(t, err, "nats.url", "nats://host:4222")
		if strings.Contains(err.Error()+lines.String(), "s3c") {
			t.Errorf("it quotes a password: %v", err)
		}
	}
}

func TestURLHidesCredentials(t *testing.T) {
	s := another(t, func(o *server.Options) { o.Username, o.Password = "belfry", "s3cret" })
	host := strings.TrimPrefix(s.ClientURL(), "nats://")
	log, lines := logger(t)
	o := outside("nats://belfry:s3cret@" + host)
	o.NATS.URL = append(o.NATS.URL, "belfry:s3cret@127.0.0.1:1")
	b := startWith(t, o, log)
	eventually(t, "it connects", func() bool { return connected(b) })
	if want := "nats://" + host + ",nats://127.0.0.1:1"; b.URL() != want {
		t.Errorf("URL is %s, want %s", b.URL(), want)
	}
	if strings.Contains(lines.String(), "s3cret") {
		t.Error("the password is in the log")
	}
}

func TestDomainAndInboxPrefix(t *testing.T) {
	s := another(t, func(o *server.Options) { o.JetStreamDomain = "hub" })
	o := outside(s.ClientURL())
	o.NATS.Domain, o.NATS.InboxPrefix = "hub", "_acme"
	b := reaches(t, o)
	if !strings.HasPrefix(b.requests.inbox, "_acme.") {
		t.Errorf("inbox is %s", b.requests.inbox)
	}
	o.NATS.Domain = "elsewhere"
	b = start(t, o)
	eventually(t, "it connects", func() bool { return connected(b) })
	says(t, b.EnsureStreams(within(t)), "JetStream")

	o = inside(t)
	o.NATS.Domain = "hub"
	ensured(t, start(t, o))
}

func TestDial(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	log, _ := logger(t)
	d, err := Dial(within(t), config.Default(), b.URL(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	if ack, err := d.Publish(within(t), "notification.1", "a", nil); err != nil || ack.Stream != "BELFRY_NOTIFICATIONS" {
		t.Errorf("got %v, %v", ack, err)
	}
	began := time.Now()
	_, err = Dial(within(t), config.Default(), "nats://127.0.0.1:"+strconv.Itoa(freePort(t)), log)
	says(t, err, "127.0.0.1")
	if time.Since(began) > patience/2 {
		t.Error("a person would have waited")
	}
	_, err = Dial(within(t), config.Default(), "", log)
	says(t, err, "nats.url")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ended, config.Default(), b.URL(), log); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// reaches starts a bus and asks something over it.
func reaches(t *testing.T, o config.Options) *Bus {
	t.Helper()
	b := start(t, o)
	eventually(t, "it connects", func() bool { return connected(b) })
	ensured(t, b)
	if _, err := ask(b, "nobody", "", patience); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a request: %v", err)
	}
	return b
}

func refused(t *testing.T, o config.Options, words ...string) {
	t.Helper()
	log, _ := logger(t)
	_, err := Start(o, log)
	says(t, err, words...)
	if !errors.Is(err, ErrMisconfigured) {
		t.Errorf("time does not mend it: %v", err)
	}
}

func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
