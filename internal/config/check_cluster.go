package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// leastNodes are needed so that two are left when one goes: they agree on who
// leads, and hold what was acknowledged.
const leastNodes = 3

var nodeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (l *loading) checkCluster() {
	c := l.Options.NATS.Cluster
	if c.Name == "" {
		l.notWithoutName()
		return
	}
	if len(l.Options.NATS.URL) > 0 {
		l.mistake("nats.cluster.name", "is set beside nats.url, and a cluster is formed by embedded servers", "set one of the two", "nats.url")
		return
	}
	if !nodeForm.MatchString(c.Name) {
		l.mistake("nats.cluster.name", fmt.Sprintf("is %q", c.Name), "write 1 to 64 letters, digits, _ and -, the same on all nodes")
	}
	if !nodeForm.MatchString(c.Node) {
		l.mistake("nats.cluster.node", fmt.Sprintf("is %q, and each node of a cluster needs a name of its own, which it keeps", c.Node),
			"write 1 to 64 letters, digits, _ and -, another one on each node")
	}
	l.checkRoutes(c)
	l.checkSecret(c)
	l.checkRouteTLS(c.TLS)
}

// notWithoutName finds what is set in vain: a node that was meant to be in a
// cluster must not run by itself.
func (l *loading) notWithoutName() {
	for _, k := range allKeys() {
		if strings.HasPrefix(k.Name, "nats.cluster.") && k.plain(l.Options) != k.plain(Default()) {
			l.mistake(k.Name, "is set without nats.cluster.name", "name the cluster, or remove it", "nats.cluster.name")
		}
	}
}

func (l *loading) checkRoutes(c Cluster) {
	if l.Options.Durable && len(c.Routes) < leastNodes {
		l.mistake("nats.cluster.routes", fmt.Sprintf("names %d nodes, and fewer than %d can't go on when one is gone", len(c.Routes), leastNodes),
			"list the nats.cluster.listen address of every node, this one among them and the same list on each, or run one gateway without nats.cluster", "durable")
	}
	for i, route := range c.Routes {
		if host, port, err := net.SplitHostPort(route); err != nil || host == "" || port == "0" || port == "" || everyAddress(host) {
			l.mistake("nats.cluster.routes", fmt.Sprintf("has %q, not where a node is reached", maskURL(route)), "write host:port, as 10.0.0.5:6222")
		} else if slices.Contains(c.Routes[:i], route) {
			l.mistake("nats.cluster.routes", fmt.Sprintf("has %q twice", route), "list every node once: the number of nodes follows from it")
		}
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return // which checkListen says
	}
	if port == "0" {
		l.mistake("nats.cluster.listen", fmt.Sprintf("is %q, and the other nodes must know the port", c.Listen), "take one, as 6222")
	}
	if c.Advertise != "" {
		l.hostPort("nats.cluster.advertise", c.Advertise)
	}
	if !everyAddress(host) && allAddresses(append(slices.Clone(c.Routes), c.Listen)) && !slices.Contains(c.Routes, c.Listen) && !slices.Contains(c.Routes, c.Advertise) {
		l.mistake("nats.cluster.routes", fmt.Sprintf("does not have %s, where this node listens", c.Listen), "list every node, this one among them", "nats.cluster.listen", "nats.cluster.advertise")
	}
}

// allAddresses tells whether all are IP addresses with a port, which can be
// compared where names can't.
func allAddresses(all []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool {
		_, err := netip.ParseAddrPort(s)
		return err != nil
	})
}

// onLoopback tells whether the cluster is all on this machine.
func (c Cluster) onLoopback() bool {
	return Loopback(c.Listen) && !slices.ContainsFunc(c.Routes, func(r string) bool { return !Loopback(r) })
}

func (l *loading) checkSecret(c Cluster) {
	switch {
	case c.Secret == "" && !Loopback(c.Listen):
		l.mistake("nats.cluster.listen", fmt.Sprintf("is %q, which other machines reach, and anyone there could join the cluster, read every message and delete the streams", c.Listen),
			"set nats.cluster.secret, the same on all nodes, or listen on 127.0.0.1", "nats.cluster.secret")
	case c.Secret == "" && !c.onLoopback():
		l.mistake("nats.cluster.routes", "has nodes on other machines, and whoever answers there could read every message and delete the streams",
			"set nats.cluster.secret, the same on all nodes", "nats.cluster.secret", "nats.cluster.listen")
	case c.Secret != "" && (len(c.Secret) < 16 || strings.HasPrefix(c.Secret, "$")):
		l.mistake("nats.cluster.secret", "is shorter than 16 characters, or begins with $", "make one with: openssl rand -hex 32")
	}
}

func (l *loading) checkRouteTLS(t ClusterTLS) {
	l.keyPair("nats.cluster.tls.cert", t.Cert, "nats.cluster.tls.key", t.Key)
	if (t.CA == "") != (t.Cert == "") {
		l.mistake("nats.cluster.tls.ca", "and nats.cluster.tls.cert are not both set", "set ca, cert and key, or none: nodes check each other's certificate", "nats.cluster.tls.cert")
	}
	l.authorities("nats.cluster.tls.ca", t.CA)
}
