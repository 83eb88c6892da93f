package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/config"
)

const (
	// routeUser is who nodes are to each other: a nats-server that is to be a
	// node too has it as its cluster's user, and the secret as the password.
	routeUser = "belfry"

	routeTimeout = 5 * time.Second // for a TLS handshake between nodes

	// lookEvery bounds how often the server is asked whether there is a leader.
	lookEvery = 200 * time.Millisecond
)

// membership is what a node knows about the others.
type membership struct {
	o config.Cluster

	mu      sync.Mutex // guards the following
	looking bool       // somebody is asking the server
	looked  time.Time  // when that was done last
	since   time.Time  // since when there is no leader; zero while there is one
}

// setCluster makes the server a node.
func setCluster(opts *server.Options, o config.Options) error {
	c := o.NATS.Cluster
	host, port, err := splitListen("nats.cluster.listen", c.Listen)
	if err != nil {
		return err
	}
	opts.ServerName = c.Node
	opts.Cluster = server.ClusterOpts{Name: c.Name, Host: host, Port: port, Advertise: c.Advertise}
	var user *url.Userinfo
	if c.Secret != "" {
		opts.Cluster.Username, opts.Cluster.Password = routeUser, c.Secret
		user = url.UserPassword(routeUser, c.Secret)
	}
	// How many they are is how many votes a leader needs more than half of.
	for _, route := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: route, User: user})
	}
	if c.TLS.Cert != "" {
		opts.Cluster.TLSTimeout = routeTimeout.Seconds()
		opts.Cluster.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: c.TLS.Cert, KeyFile: c.TLS.Key, CaFile: c.TLS.CA, Verify: true,
		})
		if err != nil {
			return fmt.Errorf("%w: nats.cluster.tls: %w", ErrMisconfigured, err)
		}
		opts.Cluster.TLSConfig.RootCAs = opts.Cluster.TLSConfig.ClientCAs // each is client and server
	}
	if !o.Durable {
		return nil
	}
	return checkStore(o)
}

// checkStore refuses a store that was made alone: a node deletes streams that
// its cluster does not know.
func checkStore(o config.Options) error {
	if _, err := os.Stat(nodeStore(o)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	streams, err := filepath.Glob(filepath.Join(o.Data, storeDir, "jetstream", "$G", "streams", "*"))
	if err != nil || len(streams) == 0 {
		return err
	}
	return fmt.Errorf("%w: data directory %s holds streams that were made without nats.cluster, and a cluster would delete them: give the node an empty directory with data (--data), and bring what is stored over by backup and restore",
		ErrMisconfigured, o.Data)
}

// nodeStore is where a node keeps what its cluster has agreed on; a server that
// was always alone has nothing there.
func nodeStore(o config.Options) string {
	return filepath.Join(o.Data, storeDir, "jetstream", "$SYS")
}

// checkAlone refuses the store of a node to a server alone: it opens no stream of
// several replicas, and one of a single replica may have gone on elsewhere.
func checkAlone(o config.Options) error {
	if _, err := os.Stat(nodeStore(o)); err != nil {
		return nil // nothing is there, or the server says what is wrong with it
	}
	return fmt.Errorf("%w: data directory %s is that of a node of a cluster, and nats.cluster is not set: set it as on the other nodes, or give this gateway an empty directory with data (--data), and bring what is stored over by backup and restore",
		ErrMisconfigured, o.Data)
}

// Clustered says whether the server inside is one of several, which together
// keep what one of them loses.
func (b *Bus) Clustered() bool { return b.server != nil && b.server.cluster != nil }

// leaderless says since when a node has had no leader for JetStream: it can
// neither store nor read then. It may be late by lookEvery, and by what the server
// takes to answer: one caller asks it, without the lock, and the others go by
// what is known.
func (e *embedded) leaderless() (since time.Time, yes bool) {
	c := e.cluster
	if c == nil || !e.o.Durable {
		return time.Time{}, false
	}
	return c.leaderless(e.leader)
}

// leaderless asks leader, unless that is being done, or was within lookEvery.
func (c *membership) leaderless(leader func() string) (since time.Time, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looking || time.Since(c.looked) < lookEvery {
		return c.since, !c.since.IsZero()
	}
	asked := time.Now()
	c.looking = true
	c.mu.Unlock()
	name := leader()
	c.mu.Lock()
	c.looking, c.looked = false, time.Now()
	if name != "" {
		c.since = time.Time{}
	} else if c.since.IsZero() {
		c.since = asked
	}
	return c.since, !c.since.IsZero()
}

// leader is the name of the node that leads JetStream, "" for none.
func (e *embedded) leader() string {
	info, err := e.server().Jsz(nil)
	if err != nil || info.Meta == nil {
		return ""
	}
	return info.Meta.Leader
}

// gathered says why a node can't be used yet, nil if it can.
func (e *embedded) gathered() error {
	if e.cluster == nil {
		return nil
	}
	trouble := e.words().routeTrouble()
	if errors.Is(trouble, ErrMisconfigured) {
		return trouble
	}
	if _, yes := e.leaderless(); !yes {
		return nil
	}
	return fmt.Errorf("%w: the NATS cluster %s has no JetStream leader, which takes all of its nodes the first time and more than half of them later: %w", ErrUnavailable, e.cluster.o.Name, e.present(trouble))
}

// present says how many nodes this one is connected to, and what was said about
// a route last.
func (e *embedded) present(trouble error) error {
	all := len(e.cluster.o.Routes)
	here := 1 + e.server().NumRemotes()
	text := fmt.Sprintf("%d of %d nodes are here (nats.cluster.routes: %s)", here, all, strings.Join(e.cluster.o.Routes, ", "))
	if trouble == nil || here >= all {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, trouble)
}

// explainRoutes is explain for the port of the routes.
func explainRoutes(err error, o config.Options, taken bool) error {
	listen := o.NATS.Cluster.Listen
	if taken {
		return fmt.Errorf("%w: nats.cluster.listen: %s is taken (another NATS or Belfry?): stop what listens there, or give nats.cluster.listen another address, and the routes of all nodes too: %w", ErrMisconfigured, listen, errors.Unwrap(err))
	}
	return fmt.Errorf("%w: nats.cluster.listen: %s: %w: it must be an address of this machine", ErrMisconfigured, listen, errors.Unwrap(err))
}

// aboutRoutes are the server's own words for what is wrong between two nodes,
// and ours.
var aboutRoutes = [...]struct {
	says, means string
	fatal       bool
}{
	{"Remote server has a duplicate name", "nats.cluster.node: another node has this one's name: give each its own", true},
	{"rid:%authentication error", "a node was turned away: nats.cluster.secret must be the same on all", false},
	{"Authorization Violation", "another node turns this one away: nats.cluster.secret must be the same on all", false},
	{"Rejecting connection, cluster name", "another node is of another cluster: nats.cluster.name must be the same on all", false},
	{"TLS route handshake error", "nodes do not accept each other's certificate: see nats.cluster.tls", false},
	{"Error trying to connect to route", "a node does not answer", false},
}

// routeTroubleIn is what a line of the server's log says about a route, and which
// of aboutRoutes that is; nil for nothing.
func routeTroubleIn(text string, v []any) (kind int, trouble error) {
	for kind, about := range aboutRoutes {
		first, then, both := strings.Cut(about.says, "%")
		if !strings.Contains(text, first) || both && !strings.Contains(text, then) {
			continue
		}
		var unreached *net.OpError
		for _, a := range v {
			if err, ok := a.(error); ok && errors.As(err, &unreached) {
				return kind, fmt.Errorf("%s: %w", about.means, unreached)
			}
		}
		if about.fatal {
			return kind, fmt.Errorf("%w: %s", ErrMisconfigured, about.means)
		}
		return kind, errors.New(about.means)
	}
	return 0, nil
}
