// Package nodes runs real nats-server processes on loopback, one alone or a
// cluster, and does to them what happens to servers: they are killed, told to
// end, stopped and continued, run out of disk, and are started again with what
// they had stored.
//
// Clients are told no addresses but those they have (no_advertise), so who
// connects by way of a line.Proxy stays on it.
//
// Only processes that a Cluster started are ever signalled.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"belfry/internal/verify/disk"
)

// Options say what to start.
type Options struct {
	// Binary is the path of a nats-server.
	Binary string
	// Dir is where each node has a directory, n1, n2 and so on: its configuration
	// (nats.conf), its log and its store. It is made where it is missing.
	Dir string
	// Count is how many nodes there are: 1, or 3 that form a cluster.
	Count int
	// Config stands in each node's configuration as it is, for instance users.
	Config string
	// User and Password are what the Cluster itself asks with, where Config has
	// users; they need the right to ask the JetStream API.
	User, Password string
}

// A Cluster is what was started. Its methods may be called from any goroutine;
// each node's one after the other. Nodes count from 0.
type Cluster struct {
	o     Options
	nodes []*node
}

// Start starts the nodes and returns when each takes connections and, of a
// cluster, JetStream has a leader. On an error, what was started is ended.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Count != 1 && o.Count != 3 {
		return nil, fmt.Errorf("start NATS: %d nodes: it is 1 or 3", o.Count)
	}
	c := &Cluster{o: o}
	ports, err := freePorts(2 * o.Count)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	for i := range o.Count {
		n := &node{
			name:  fmt.Sprint("n", i+1),
			dir:   filepath.Join(o.Dir, fmt.Sprint("n", i+1)),
			addr:  fmt.Sprint("127.0.0.1:", ports[i]),
			route: fmt.Sprint("127.0.0.1:", ports[o.Count+i]),
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := c.write(n); err != nil {
			return nil, fmt.Errorf("start NATS: %w", err)
		}
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := n.start(c.o.Binary); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	return c.waitMeta(ctx)
}

// write writes a node's configuration.
func (c *Cluster) write(n *node) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "server_name: %s\nlisten: %q\n", n.name, n.addr)
	fmt.Fprintf(&text, "jetstream { store_dir: %q }\n", filepath.Join(n.dir, "store"))
	if len(c.nodes) > 1 {
		var routes []string
		for _, other := range c.nodes {
			if other != n {
				routes = append(routes, fmt.Sprintf("%q", "nats://"+other.route))
			}
		}
		fmt.Fprintf(&text, "cluster { name: verify, listen: %q, no_advertise: true, routes: [%s] }\n", n.route, strings.Join(routes, ", "))
	}
	fmt.Fprintln(&text, c.o.Config)
	return os.WriteFile(n.config(), []byte(text.String()), 0o600)
}

// Count is how many nodes there are.
func (c *Cluster) Count() int { return len(c.nodes) }

// Addr is where node i takes clients, host:port, also after a restart.
func (c *Cluster) Addr(i int) string { return c.nodes[i].addr }

// URLs are where the nodes take clients, without credentials.
func (c *Cluster) URLs() []string {
	urls := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		urls[i] = "nats://" + n.addr
	}
	return urls
}

// Running says whether node i's process is there, be it stopped.
func (c *Cluster) Running(i int) bool { return c.nodes[i].running() }

// Log is the path of node i's log, which all its processes write on.
func (c *Cluster) Log(i int) string { return c.nodes[i].log() }

// Kill ends node i's process at once (SIGKILL) and waits until it is gone.
func (c *Cluster) Kill(i int) error { return c.nodes[i].kill() }

// Terminate has node i end by itself (SIGTERM) and waits until it is gone, or
// kills it when ctx ends first, which is an error.
func (c *Cluster) Terminate(ctx context.Context, i int) error { return c.nodes[i].terminate(ctx) }

// Stop has node i's process stand still (SIGSTOP): its connections are open,
// and nothing answers.
func (c *Cluster) Stop(i int) error { return c.nodes[i].stop() }

// Continue ends what Stop began.
func (c *Cluster) Continue(i int) error { return c.nodes[i].resume() }

// FillDisk has every write of node i on a file fail from now on (EFBIG), as on a
// full disk, while its process runs; its log goes on. It needs Linux. A cluster's
// node takes a disk that is full (ENOSPC) in another way: it shuts JetStream down.
func (c *Cluster) FillDisk(i int) error { return c.nodes[i].withPid(disk.Fill) }

// FreeDisk ends what FillDisk began. What the server makes of it is its own
// affair: it may refuse writes until it is started again.
func (c *Cluster) FreeDisk(i int) error { return c.nodes[i].withPid(disk.Free) }

// Restart starts node i again, at the same address and with what it has
// stored. Where it still runs it is told to end first. It returns when the node
// takes connections.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	n := c.nodes[i]
	if n.running() {
		if err := n.terminate(ctx); err != nil {
			return err
		}
	}
	if err := n.start(c.o.Binary); err != nil {
		return err
	}
	return n.ready(ctx)
}

// Close kills every node. What they wrote stays in Dir.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.kill())
	}
	return errors.Join(errs...)
}

// freePorts finds ports of 127.0.0.1 that nobody listens at. Another process
// may take one before a node does: then the node says so and does not start.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end: no port comes twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
