package examples_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer is a NATS with JetStream in this process: the examples talk to
// NATS alone, and most of what they do shows without a gateway.
type natsServer struct {
	*server.Server
	opts server.Options
	url  string
}

func startNATS(t *testing.T, options func(*server.Options)) *natsServer {
	t.Helper()
	n := &natsServer{opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	}}
	if options != nil {
		options(&n.opts)
	}
	n.start(t)
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start(t *testing.T) {
	t.Helper()
	opts := n.opts
	ns, err := server.NewServer(&opts)
	if err != nil {
		t.Fatalf("NATS: %v", err)
	}
	ns.Start()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("NATS does not take connections")
	}
	n.Server = ns
	n.opts.Port = ns.Addr().(*net.TCPAddr).Port // the same after a restart
	n.url = fmt.Sprintf("nats://127.0.0.1:%d", n.opts.Port)
}

func (n *natsServer) stop() {
	n.Shutdown()
	n.WaitForShutdown()
}

func (n *natsServer) env(more ...string) []string {
	return append([]string{"NATS_URL=" + n.url}, more...)
}

func (n *natsServer) connect(t *testing.T, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(n.url, append(options, nats.MaxReconnects(-1))...)
	if err != nil {
		t.Fatalf("connecting to NATS: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// stream makes the stream that a gateway would make.
func stream(t *testing.T, nc *nats.Conn, prefix string) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	name, subject := "BELFRY_NOTIFICATIONS", "notification.*"
	if prefix != "" {
		name, subject = prefix+"_"+name, prefix+"."+subject
	}
	s, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: name, Subjects: []string{subject}})
	if err != nil {
		t.Fatalf("making the stream: %v", err)
	}
	return s
}

// stored returns the message at a sequence.
func stored(t *testing.T, s jetstream.Stream, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	msg, err := s.GetMsg(within(t), seq)
	if err != nil {
		t.Fatalf("reading message %d of the stream: %v", seq, err)
	}
	return msg
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// connections is how many there have been, since the start.
func (n *natsServer) connections() uint64 {
	v, err := n.Varz(nil)
	if err != nil {
		return 0
	}
	return v.TotalConnections
}
