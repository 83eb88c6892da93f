package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"belfry/internal/load/wire"
)

const patience = 20 * time.Second

// start starts a NATS server, until the test is over.
func start(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, StoreDir: t.TempDir()}
	change(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server takes no connections")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func dial(t *testing.T, nc *nats.Conn) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// passes publishes over a connection like nc's, and expects it at nc; and the
// other way round, more than one read takes.
func passes(t *testing.T, nc *nats.Conn) {
	t.Helper()
	c := dial(t, nc)
	there, err := nc.SubscribeSync("there.*")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	for i := range n {
		if err := c.Publish("there.x", fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m, err := there.NextMsg(patience)
		if err != nil || string(m.Data) != fmt.Sprintf("message %d", i) || m.Reply != "" {
			t.Fatalf("message %d: %+v, %v", i, m, err)
		}
	}

	got := 0
	c.Subscribe("back.*", func(subject, data []byte) {
		if want := fmt.Sprintf("back.%d", got); string(subject) != want || !bytes.Equal(data, fill(got)) {
			t.Errorf("%s with %d bytes came, want %s", subject, len(data), want)
		}
		got++
	})
	if err := c.Sync(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m := &nats.Msg{Subject: fmt.Sprintf("back.%d", i), Data: fill(i)}
		if i%2 == 1 {
			m.Header = nats.Header{"X": {"y"}}
		}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(patience); got < n && time.Now().Before(until); {
		if err := c.Wait(time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got != n {
		t.Errorf("%d of %d came", got, n)
	}
}

func fill(n int) []byte { return bytes.Repeat([]byte{'x'}, n%700) }

// Every way in that the library knows is ours too.
func TestCredentials(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	for name, one := range map[string]struct {
		server func(*server.Options)
		userIn string
		opts   []nats.Option
	}{
		"open":        {server: func(*server.Options) {}},
		"in the URL":  {server: func(o *server.Options) { o.Username, o.Password = "a", "b" }, userIn: "a:b@"},
		"user":        {server: func(o *server.Options) { o.Username, o.Password = "a", "b" }, opts: []nats.Option{nats.UserInfo("a", "b")}},
		"token":       {server: func(o *server.Options) { o.Authorization = "s3" }, opts: []nats.Option{nats.Token("s3")}},
		"token in it": {server: func(o *server.Options) { o.Authorization = "s3" }, userIn: "s3@"},
		"nkey": {server: func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} },
			opts: []nats.Option{nats.Nkey(public, pair.Sign)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, one.server)
			passes(t, connect(t, strings.Replace(s.ClientURL(), "//", "//"+one.userIn, 1), one.opts...))
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{false, true} {
		ca := newAuthority(t)
		s := start(t, func(o *server.Options) {
			o.TLS, o.TLSVerify, o.TLSTimeout, o.TLSHandshakeFirst = true, true, 5, first
			o.TLSConfig = ca.server(t)
		})
		opts := []nats.Option{nats.Secure(ca.client(t))}
		if first {
			opts = append(opts, nats.TLSHandshakeFirst())
		}
		passes(t, connect(t, s.ClientURL(), opts...))
	}
}

// A stream acknowledges each id, stores it once, and nobody answers where there
// is none.
func TestPublishOnce(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *server.Options) { o.JetStream = true })
	nc := connect(t, s.ClientURL())
	js, err := nc.JetStream()
	if err == nil {
		_, err = js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"stored.*"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, nc)
	got := map[string]string{}
	inbox := nc.NewInbox()
	c.Subscribe(inbox+".*", func(subject, data []byte) {
		got[strings.TrimPrefix(string(subject), inbox+".")] = string(data)
	})
	ask := func(subject, id, want string) {
		t.Helper()
		clear(got)
		if err := c.PublishOnce(subject, []byte(inbox+"."+id), []byte("payload")); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(patience); len(got) == 0 && time.Now().Before(until); {
			if err := c.Wait(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if answer, ok := got[id]; !ok || answer != want {
			t.Errorf("%s, %s was answered by %q, want %s", subject, id, got, want)
		}
	}
	ask("stored.a", "1", `{"stream":"S","seq":1}`)
	ask("stored.a", "2", `{"stream":"S","seq":2}`)
	ask("stored.a", "1", `{"stream":"S","seq":1,"duplicate": true}`)
	ask("nowhere", "3", "")
	m, err := js.GetMsg("S", 2)
	if err != nil || string(m.Data) != "payload" || m.Header.Get(nats.MsgIdHdr) != inbox+".2" {
		t.Errorf("it stores %+v, %v", m, err)
	}
}

// What the server refuses is an error with its words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "a", Password: "b", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"secret"}}}}}
		o.MaxPayload = 1000
	})
	nc := connect(t, s.ClientURL(), nats.UserInfo("a", "b"))
	c := dial(t, nc)
	says(t, publishes(c, "secret", 1), "Permissions Violation", `"secret"`)
	c = dial(t, nc)
	says(t, publishes(c, "large", 1001), "Maximum Payload Violation")

	nc.Opts.Password = "wrong"
	_, err := wire.Dial(nc)
	says(t, err, "Authorization Violation", s.Addr().String())
}

func publishes(c *wire.Conn, subject string, size int) error {
	if err := c.Publish(subject, make([]byte, size)); err != nil {
		return err
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if err := c.Wait(time.Second); err != nil {
			return err
		}
	}
	return nil
}

func says(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, it does not say %s", err, text)
		}
	}
}

// A server that goes away is an error, whether one waits or publishes.
func TestTheServerGoes(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*wire.Conn) error{
		"waits":     func(c *wire.Conn) error { return c.Wait(time.Second) },
		"publishes": func(c *wire.Conn) error { return firstOf(c.Publish("a", []byte("b")), c.Flush()) },
	} {
		s := start(t, func(*server.Options) {})
		nc := connect(t, s.ClientURL())
		c, at := dial(t, nc), s.Addr().String()
		s.Shutdown()
		var err error
		for until := time.Now().Add(patience); err == nil && time.Now().Before(until); {
			err = use(c)
		}
		says(t, err, "NATS at "+at)
		if _, again := wire.Dial(nc); again == nil {
			t.Errorf("%s: it connects to a server that is gone", name)
		}
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A server that asks for life gets an answer.
func TestPing(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *server.Options) { o.PingInterval, o.MaxPingsOut = 100*time.Millisecond, 4 })
	c := dial(t, connect(t, s.ClientURL()))
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); {
		if err := c.Wait(20 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// What is not NATS is not taken for it.
func TestNotNATS(t *testing.T) {
	t.Parallel()
	for greeting, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n":       "is it NATS?",
		"INFO nothing\r\n":                       "read what it is",
		"INFO {}\r\nnonsense\r\n":                "nonsense",
		"INFO {}\r\nMSG a 1 x\r\n":               "a 1 x",
		"INFO {}\r\nHMSG a 1 9 8\r\n":            "a 1 9 8",
		"INFO {}\r\n-ERR 'what it says'\r\n":     "what it says",
		"INFO {}\r\n" + strings.Repeat("x", 1e5): "at once",
		"INF":                                    "EOF",
	} {
		_, err := wire.Dial(connect(t, secondGets(t, greeting), nats.NoReconnect()))
		says(t, err, want)
	}
}

// secondGets is the address of a NATS server whose second connection gets only a
// greeting.
func secondGets(t *testing.T, greeting string) (url string) {
	t.Helper()
	s := start(t, func(*server.Options) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		first, err := l.Accept()
		if err != nil {
			return
		}
		defer first.Close()
		real, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			return
		}
		defer real.Close()
		go func() { _, _ = io.Copy(first, real) }()
		go func() { _, _ = io.Copy(real, first) }()
		second, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = second.Write([]byte(greeting))
		_ = second.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, second)
		_ = second.Close()
	}()
	return "nats://" + l.Addr().String()
}
