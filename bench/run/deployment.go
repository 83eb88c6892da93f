package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"belfry/bench/plan"
)

// A deployment is the processes of one server that is measured.
type deployment struct {
	dir      string
	programs programs
	children []*child
	clients  []string // URLs where clients connect
	nats     string   // URL where publications go and authentication is answered
	pids     []string // name=PID, for the generator
}

// start returns once all is ready. What it has started is stopped by stop, also
// after an error.
func (d *deployment) start(ctx context.Context, s plan.Server) error {
	switch s.Kind {
	case plan.Belfry:
		return d.gateway(ctx, s, "")
	case plan.BelfryApart:
		if err := d.broker(ctx, "nats", "--jetstream", filepath.Join(d.dir, "jetstream")); err != nil {
			return err
		}
		return d.gateway(ctx, s, d.nats)
	case plan.NATS:
		return d.broker(ctx, "gateway", "--ws", "127.0.0.1:0")
	case plan.Floor:
		return d.peer(ctx, exec.Command(d.programs.floor, s.Args...))
	}
	if err := d.broker(ctx, "nats"); err != nil {
		return err
	}
	if s.Kind == plan.Node {
		return d.peer(ctx, exec.Command("node", filepath.Join(d.programs.peers, "node", "server.js"), "--nats", d.nats))
	}
	return d.peer(ctx, exec.Command(d.programs.centrifuge, "--nats", d.nats))
}

// gateway starts a Belfry; without a URL of NATS it has one inside.
func (d *deployment) gateway(ctx context.Context, s plan.Server, nats string) error {
	data := filepath.Join(d.dir, fmt.Sprint("gateway-", len(d.children)))
	cmd := exec.Command(d.programs.belfry, "serve", "--data", data, "--log-level", "warn", "--public", "127.0.0.1:0", "--internal", "127.0.0.1:0")
	if nats == "" {
		cmd.Args = append(cmd.Args, "--nats-listen", "127.0.0.1:0")
	} else {
		cmd.Args = append(cmd.Args, "--nats", nats)
	}
	cmd.Env = append(withoutBelfry(os.Environ()), s.Env...)
	c, at, err := spawnBelfry(ctx, "the gateway", data, cmd)
	if err != nil {
		return err
	}
	d.add("gateway", c)
	if nats == "" {
		d.nats = at.NATS
	}
	if s.Events {
		d.clients = append(d.clients, "http://"+at.Clients+"/events")
	} else {
		d.clients = append(d.clients, "ws://"+at.Clients+"/")
	}
	return nil
}

// withoutBelfry leaves out what would configure a gateway.
func withoutBelfry(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool { return strings.HasPrefix(v, "BELFRY_") })
}

func (d *deployment) broker(ctx context.Context, name string, args ...string) error {
	c, at, err := spawnPeer(ctx, "NATS", filepath.Join(d.dir, "nats.log"), exec.Command(d.programs.nats, args...))
	if err != nil {
		return err
	}
	d.add(name, c)
	d.nats = at.NATS
	if at.Clients != "" {
		d.clients = append(d.clients, at.Clients)
	}
	return nil
}

func (d *deployment) peer(ctx context.Context, cmd *exec.Cmd) error {
	c, at, err := spawnPeer(ctx, "the server", filepath.Join(d.dir, "peer.log"), cmd)
	if err != nil {
		return err
	}
	d.add("gateway", c)
	d.clients = append(d.clients, at.Clients)
	if at.NATS != "" {
		d.nats = at.NATS
	}
	return nil
}

func (d *deployment) add(name string, c *child) {
	d.children = append(d.children, c)
	d.pids = append(d.pids, fmt.Sprintf("%s=%d", name, c.pid()))
}

// stop ends the last first: a gateway before its broker.
func (d *deployment) stop() {
	for _, c := range slices.Backward(d.children) {
		c.stop()
	}
	d.children = nil
}

// dead tells of the processes that have ended by themselves.
func (d *deployment) dead() string {
	var all []string
	for _, c := range d.children {
		if text := c.dead(); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
