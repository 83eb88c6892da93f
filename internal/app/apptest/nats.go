package apptest

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/app"
	"belfry/internal/bus/bustest"
	"belfry/internal/config"
)

// A NATS is a server outside the gateway, in the test's own process, that can
// go away and come back at the same address.
type NATS struct {
	t       testing.TB
	options server.Options
	server  *server.Server
	log     bustest.Refusals
}

// users are a gateway's, who has the permissions that `belfry check
// --permissions` prints for the defaults and no others, and everybody else.
const users = `
authorization { users = [
  {user: gateway, password: x, permissions: $BELFRY_GATEWAY}
  {user: backend, password: x, permissions: $BELFRY_BACKEND}
  {user: admin, password: x}
] }
no_auth_user: admin
`

// StartNATS starts one, with JetStream or without. With JetStream it has users,
// and the test fails where anyone asks for more than is permitted.
func StartNATS(t testing.TB, jetStream bool) *NATS {
	t.Helper()
	n := &NATS{t: t}
	if jetStream {
		if err := n.options.ProcessConfigString(app.Permissions(config.Default()) + users); err != nil {
			t.Fatalf("reading a NATS server's configuration: %v", err)
		}
	}
	n.options.Host, n.options.Port, n.options.NoSigs = "127.0.0.1", server.RANDOM_PORT, true
	t.Cleanup(func() {
		if refused := n.log.Refused(); len(refused) > 0 {
			t.Errorf("NATS refused:\n%s", strings.Join(refused, "\n"))
		}
	})
	if jetStream {
		n.options.JetStream, n.options.StoreDir = true, t.TempDir()
	}
	n.Start()
	t.Cleanup(n.Stop)
	return n
}

// URL is where a gateway with the default names reaches it, as its user, also
// after a restart. Connect makes a backend and operator of it, who may do
// everything.
func (n *NATS) URL() string { return strings.Replace(n.OpenURL(), "//", "//gateway:x@", 1) }

// OpenURL is where anybody reaches it who may do everything.
func (n *NATS) OpenURL() string { return n.server.ClientURL() }

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
	s.SetLogger(&n.log, false, false)
	go s.Start()
	if !s.ReadyForConnections(Patience) {
		n.t.Fatalf("the NATS server takes no connections within %v", Patience)
	}
	n.server, n.options.Port = s, o.Port
}

// SetMaxPayload changes what a running server takes as one message, in bytes, of
// which it does not tell who is connected.
func (n *NATS) SetMaxPayload(most int32) {
	n.t.Helper()
	n.options.MaxPayload = most
	if err := n.server.ReloadOptions(n.options.Clone()); err != nil {
		n.t.Fatalf("changing max_payload: %v", err)
	}
}

// Dir is where its store is. It may be changed while the server is stopped.
func (n *NATS) Dir() string { return n.options.StoreDir }
