package apptest

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// A NATS is a server outside the gateway, in the test's own process, that can
// go away and come back at the same address.
type NATS struct {
	t       testing.TB
	options server.Options
	server  *server.Server
}

// StartNATS starts one, with JetStream or without.
func StartNATS(t testing.TB, jetStream bool) *NATS {
	t.Helper()
	n := &NATS{t: t, options: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}}
	if jetStream {
		n.options.JetStream, n.options.StoreDir = true, t.TempDir()
	}
	n.Start()
	t.Cleanup(n.Stop)
	return n
}

// URL is where it is, also after a restart.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Stop ends it, cleanly. It may be called twice.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// Start starts it at the same address as before.
func (n *NATS) Start() {
	n.t.Helper()
	o := n.options // the server changes what it is given
	s, err := server.NewServer(&o)
	if err != nil {
		n.t.Fatalf("making a NATS server: %v", err)
	}
	go s.Start()
	if !s.ReadyForConnections(Patience) {
		n.t.Fatalf("the NATS server takes no connections within %v", Patience)
	}
	n.server, n.options.Port = s, o.Port
}
