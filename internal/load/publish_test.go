package load

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry/internal/load/payload"
)

// startPublisher starts a NATS server with JetStream, and a publisher there.
func startPublisher(t *testing.T, durable bool) (*publisher, nats.JetStreamContext, *server.Server) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server takes no connections")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPublisher(nc, "0badcafe", 200, durable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, js, s
}

func publishSome(t *testing.T, p *publisher, n int) {
	t.Helper()
	for i := range n {
		if err := p.publish(t.Context(), "stored.a", payload.Message{Index: 1, Seq: uint64(i + 1), At: 7}); err != nil {
			t.Fatal(err)
		}
	}
}

// More than may wait for acknowledgements is stored in order, each once.
func TestDurablePublications(t *testing.T) {
	t.Parallel()
	p, js, _ := startPublisher(t, true)
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"stored.*"}, Storage: nats.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	const n = 3*maxPending + 5
	publishSome(t, p, n)
	if err := p.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.waiting() != 0 || p.acks != n {
		t.Errorf("%d wait when all is settled, %d acknowledgements of %d", p.waiting(), p.acks, n)
	}
	sub, err := js.SubscribeSync("stored.*", nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	reader := payload.NewReader("0badcafe")
	for i := range n {
		m, err := sub.NextMsg(20 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got, ours := reader.Read(m.Data); !ours || got != (payload.Message{Index: 1, Seq: uint64(i + 1), At: 7}) || len(m.Data) != 200 {
			t.Fatalf("publication %d is %s", i, m.Data)
		}
	}
}

// What no stream takes is published again, as it was, until one does.
func TestAStreamThatComesLater(t *testing.T) {
	t.Parallel()
	p, js, _ := startPublisher(t, true)
	publishSome(t, p, 20)
	for until := time.Now().Add(20 * time.Second); len(p.retries) < 20 && time.Now().Before(until); {
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"stored.*"}, Storage: nats.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if err := p.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i, err := js.StreamInfo("S"); err != nil || i.State.Msgs != 20 {
		t.Errorf("the stream has %+v, %v", i, err)
	}
	// And once more, with the same id: the stream knows it.
	p.pending[1].waits, p.oldest = true, 1
	p.late(p.pending[1].at.Add(2 * ackWithin))
	if err := p.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i, err := js.StreamInfo("S"); err != nil || i.State.Msgs != 20 || p.acks != 21 {
		t.Errorf("the stream has %+v, %v; %d acknowledgements", i, err, p.acks)
	}
}

// What a stream refuses, and what never has one, ends it.
func TestRefusedPublications(t *testing.T) {
	t.Parallel()
	p, js, _ := startPublisher(t, true)
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"stored.*"}, MaxMsgSize: 10}); err != nil {
		t.Fatal(err)
	}
	publishSome(t, p, 1)
	if err := p.settle(t.Context()); err == nil || !strings.Contains(err.Error(), "stored.a: the stream answered") || !strings.Contains(err.Error(), "exceeds maximum") {
		t.Errorf("too large for the stream: %v", err)
	}

	p, _, _ = startPublisher(t, true)
	publishSome(t, p, 1)
	p.pending[1].at = time.Now().Add(-giveUp)
	if err := p.settle(t.Context()); err == nil || !strings.Contains(err.Error(), "no stream stores it") {
		t.Errorf("without a stream: %v", err)
	}
}

// Where the server goes away it says so, durable or not, at once.
func TestNATSGoes(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		p, _, s := startPublisher(t, durable)
		s.Shutdown()
		publishSome(t, p, 1)
		if err := p.settle(t.Context()); err == nil || !strings.Contains(err.Error(), "NATS at 127.0.0.1:") {
			t.Errorf("durable %v: %v", durable, err)
		}
	}
}
