// Package bustest starts a NATS server with users inside a test: one that does
// what a configuration file says, and tells what it refused.
//
//	n := bustest.Start(t, &bustest.Server{Definitions: bus.PermissionsText(o), Users: map[string]string{"gateway": "$BELFRY_GATEWAY"}})
//	o.NATS.URL = []string{n.URL("gateway")}
package bustest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Admin may do everything. Every server has this user.
const Admin = "admin"

// Password is every user's.
const Password = "x"

// A Server is what to start, and what was started. It listens on 127.0.0.1.
type Server struct {
	// Definitions stand before the users in the server's configuration.
	Definitions string
	// Users are names and what stands for permissions, as "$DEFINED".
	Users map[string]string
	// Dir is where JetStream keeps what it has; "" for a server without it.
	Dir    string
	Domain string
	// More stands in the configuration as it is.
	More string

	t    testing.TB
	port int
	s    *server.Server
	Refusals
}

// Start starts one, until the test is over.
func Start(t testing.TB, n *Server) *Server {
	t.Helper()
	n.t, n.port = t, server.RANDOM_PORT
	n.Up()
	t.Cleanup(n.Down)
	return n
}

// Up starts it again where it was.
func (n *Server) Up() {
	n.t.Helper()
	var o server.Options
	if err := o.ProcessConfigString(n.text()); err != nil {
		n.t.Fatalf("nats-server does not take its configuration: %v", err)
	}
	o.Host, o.Port, o.NoSigs = "127.0.0.1", n.port, true
	s, err := server.NewServer(&o)
	if err != nil {
		n.t.Fatalf("making a NATS server: %v", err)
	}
	s.SetLogger(&n.Refusals, false, false)
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		n.t.Fatal("the NATS server takes no connections")
	}
	n.s, n.port = s, s.Addr().(*net.TCPAddr).Port
}

// Down ends it, cleanly. It may be called twice.
func (n *Server) Down() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

func (n *Server) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nauthorization { users = [ {user: %s, password: %s}\n", n.Definitions, n.More, Admin, Password)
	for name, permissions := range n.Users {
		fmt.Fprintf(&b, "  {user: %q, password: %s, permissions: %s}\n", name, Password, permissions)
	}
	b.WriteString("] }\n")
	if n.Dir != "" {
		fmt.Fprintf(&b, "jetstream { store_dir: %q, domain: %q, max_file: 4G, max_mem: 64M }\n", n.Dir, n.Domain)
	}
	return b.String()
}

// URL is where a user reaches it, with the credentials.
func (n *Server) URL(user string) string {
	return fmt.Sprintf("nats://%s:%s@127.0.0.1:%d", user, Password, n.port)
}

// LeafURL is where leaf nodes connect, as a user; More has to open that port.
func (n *Server) LeafURL(user string) string {
	n.t.Helper()
	v, err := n.s.Varz(nil)
	if err != nil {
		n.t.Fatalf("asking a NATS server for its port: %v", err)
	}
	return fmt.Sprintf("nats-leaf://%s:%s@127.0.0.1:%d", user, Password, v.LeafNode.Port)
}

// Refusals are a server's log of what users asked for and were not permitted.
// The zero value is ready.
type Refusals struct {
	mu    sync.Mutex
	lines []string
}

// Refused is what was refused since the beginning or the last Forget.
func (r *Refusals) Refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Forget has Refused begin anew.
func (r *Refusals) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

// Errorf is one of server.Logger's.
func (r *Refusals) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if !strings.Contains(text, "Violation") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, text)
}

// The others say nothing of permissions.

func (r *Refusals) Noticef(string, ...any) {}
func (r *Refusals) Warnf(string, ...any)   {}
func (r *Refusals) Fatalf(string, ...any)  {}
func (r *Refusals) Debugf(string, ...any)  {}
func (r *Refusals) Tracef(string, ...any)  {}
