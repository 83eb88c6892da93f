package demo

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"belfry/internal/bus"
	"belfry/internal/subject"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startNATS runs a NATS server on a free port until the test ends.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start within 10 s")
	}
	return s
}

func dial(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func startBackend(t *testing.T, nc *nats.Conn, stream Publisher, names subject.Names) *Backend {
	t.Helper()
	b, err := Start(nc, stream, names, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// publisher is a Publisher in a test's hands.
type publisher func(subject, id string, data []byte) (bus.Ack, error)

func (p publisher) Publish(_ context.Context, subject, id string, data []byte) (bus.Ack, error) {
	return p(subject, id, data)
}
