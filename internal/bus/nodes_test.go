package bus

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"belfry/internal/config"
)

// nodes are options for n embedded servers that are to form a cluster.
func nodes(t *testing.T, n int) []config.Options {
	t.Helper()
	var routes []string
	for range n {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	}
	all := make([]config.Options, n)
	for i := range all {
		all[i] = inside(t)
		all[i].NATS.Cluster = config.Cluster{
			Name: "acme", Node: fmt.Sprint("node-", i), Listen: routes[i], Routes: routes, Secret: "a-secret-of-the-nodes",
		}
	}
	return all
}

// Whatever the order in which nodes start, the streams get three replicas, and
// nothing is made before all are there.
func TestNodesGather(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	log, lines := logger(t)
	third := startWith(t, all[2], log)
	err := third.EnsureStreams(within(t))
	says(t, err, "acme", "no JetStream leader", "1 of 3 nodes are here", all[0].NATS.Cluster.Listen)
	if errors.Is(err, ErrMisconfigured) {
		t.Errorf("time mends it: %v", err)
	}
	if _, away := third.Away(); !away {
		t.Error("a node alone counts as there")
	}
	first := start(t, all[0])
	eventually(t, "two are too few the first time", func() bool {
		err := first.EnsureStreams(within(t))
		return err != nil && strings.Contains(err.Error(), "2 of 3 nodes are here")
	})
	start(t, all[1])
	ensured(t, third)
	ensured(t, first)
	for _, name := range []string{"BELFRY_NOTIFICATIONS", "BELFRY_CHANNELS"} {
		if r := configOf(t, third, name).Replicas; r != 3 {
			t.Errorf("%s has %d replicas", name, r)
		}
	}
	if _, away := third.Away(); away {
		t.Error("with a leader it still counts as away")
	}
	if strings.Contains(lines.String(), all[0].NATS.Cluster.Secret) {
		t.Error("the secret is in the log")
	}
}

func TestTwoNodesOfOneName(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	all[1].NATS.Cluster.Node = all[0].NATS.Cluster.Node
	a, b := start(t, all[0]), start(t, all[1])
	refused := func(b *Bus) bool {
		err := b.EnsureStreams(within(t))
		return errors.Is(err, ErrMisconfigured) && strings.Contains(err.Error(), "nats.cluster.node")
	}
	eventually(t, "one of them is told", func() bool { return refused(a) || refused(b) })
}

func TestNodeWithAnotherSecret(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	all[2].NATS.Cluster.Secret = "another-secret-than-theirs"
	a, c := start(t, all[0]), start(t, all[2])
	for _, b := range []*Bus{a, c} {
		eventually(t, "both sides say so", func() bool {
			err := b.EnsureStreams(within(t))
			return err != nil && strings.Contains(err.Error(), "nats.cluster.secret must be the same")
		})
	}
	b := start(t, all[1])
	eventually(t, "the two others meet", func() bool { return b.server.ns.NumRemotes() == 1 })
	if n := c.server.ns.NumRemotes(); n > 0 {
		t.Errorf("it was let in: %d routes", n)
	}
	shut(t, c)
	all[2].NATS.Cluster.Secret = all[0].NATS.Cluster.Secret
	start(t, all[2])
	ensured(t, b)
}

func TestNodeOfAnotherCluster(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	all[1].NATS.Cluster.Name = "other"
	a, b := start(t, all[0]), start(t, all[1])
	_ = b
	eventually(t, "it says so", func() bool {
		err := a.EnsureStreams(within(t))
		return err != nil && strings.Contains(err.Error(), "nats.cluster.name must be the same")
	})
}

func TestRoutesThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	b := start(t, all[0])
	eventually(t, "it says so", func() bool {
		err := b.EnsureStreams(within(t))
		return err != nil && strings.Contains(err.Error(), "a node does not answer") && strings.Contains(err.Error(), "connection refused")
	})
}

func TestTakenPortOfRoutes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := nodes(t, 3)[0]
	o.NATS.Cluster.Listen = l.Addr().String()
	log, _ := logger(t)
	_, err = Start(o, log)
	says(t, err, "nats.cluster.listen", l.Addr().String(), "taken")
	if !errors.Is(err, ErrMisconfigured) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("not what it wraps: %v", err)
	}
	o.NATS.Cluster.Listen = "192.0.2.1:6222"
	_, err = Start(o, log)
	says(t, err, "nats.cluster.listen", "an address of this machine")
}

// A cluster deletes streams that it does not know.
func TestStoreMadeAloneIsRefused(t *testing.T) {
	t.Parallel()
	alone := inside(t)
	b := start(t, alone)
	ensured(t, b)
	shut(t, b)
	o := nodes(t, 3)[0]
	o.Data = alone.Data
	log, _ := logger(t)
	_, err := Start(o, log)
	says(t, err, alone.Data, "would delete them", "backup")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}
	ensured(t, start(t, alone))
}

// A server alone opens no stream of three replicas.
func TestStoreOfANodeIsRefusedAlone(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	var started []*Bus
	for _, o := range all {
		started = append(started, start(t, o))
	}
	ensured(t, started[0])
	for _, b := range started {
		shut(t, b)
	}
	alone := all[0]
	alone.NATS.Cluster = config.Cluster{}
	log, _ := logger(t)
	_, err := Start(alone, log)
	says(t, err, alone.Data, "nats.cluster is not set", "backup")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}
}

func TestNodesOverTLS(t *testing.T) {
	t.Parallel()
	ca, all := newAuthority(t), nodes(t, 3)
	for i := range all {
		cert, key := ca.issue(t, fmt.Sprint("node-", i))
		all[i].NATS.Cluster.TLS = config.ClusterTLS{CA: ca.file, Cert: cert, Key: key}
	}
	for _, o := range all[1:] {
		start(t, o)
	}
	b := start(t, all[0])
	ensured(t, b)

	stranger := all[0]
	other := newAuthority(t)
	cert, key := other.issue(t, "stranger")
	stranger.Data = t.TempDir()
	stranger.NATS.Cluster.Listen, stranger.NATS.Cluster.Node = fmt.Sprintf("127.0.0.1:%d", freePort(t)), "stranger"
	stranger.NATS.Cluster.TLS = config.ClusterTLS{CA: other.file, Cert: cert, Key: key}
	c := start(t, stranger)
	eventually(t, "it says so", func() bool {
		err := c.EnsureStreams(within(t))
		return err != nil && strings.Contains(err.Error(), "nats.cluster.tls")
	})
}
