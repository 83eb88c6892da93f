package verify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
	"belfry/internal/verify/line"
	"belfry/internal/verify/nodes"
)

// A system is the gateways and the NATS that are put to the test.
type system struct {
	rec      *record
	names    subject.Names
	nc       *nats.Conn // ours, not by way of any line
	gateways []*gateway
	cluster  *nodes.Cluster // nil where NATS is embedded in the first gateway
	targets  []target
	ours     bool // we started it, and may do harm to it
	leading  sync.WaitGroup
}

const (
	// startWithin bounds the start of everything, and recoverWithin how long the
	// system may take to be well again after the last fault of a turn.
	startWithin   = 60 * time.Second
	recoverWithin = 60 * time.Second
)

// remote is a system that somebody else runs.
func remote(rec *record, o Options) (*system, error) {
	s := &system{rec: rec, names: o.Names, nc: o.NATS}
	for i, text := range o.Gateways {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("gateway %q: write http://host:port or https://host", text)
		}
		s.targets = append(s.targets, target{fmt.Sprintf("gateway %d", i+1), u})
	}
	return s, nil
}

// startSystem starts one of ours.
func startSystem(ctx context.Context, rec *record, o Options) (*system, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	s := &system{rec: rec, names: o.Names, ours: true}
	build := s.single
	if o.Topology == R3 {
		build = s.triple
	}
	err := build(ctx, o)
	for _, g := range s.gateways {
		s.targets = append(s.targets, g.target())
		if err == nil {
			err = g.ready(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// single is one gateway with NATS inside, and a second one that uses it from
// outside.
func (s *system) single(ctx context.Context, o Options) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	if err := s.gateway(o, nil, "BELFRY_NATS_LISTEN="+addr); err != nil {
		return err
	}
	if err := s.gateways[0].ready(ctx); err != nil {
		return err
	}
	if s.nc, err = connect([]string{"nats://" + addr}); err != nil {
		return err
	}
	return s.outside(o, []string{addr})
}

// triple is a NATS cluster and three gateways.
func (s *system) triple(ctx context.Context, o Options) (err error) {
	if s.cluster, err = nodes.Start(ctx, nodes.Options{Binary: o.NATSServer, Dir: filepath.Join(o.Dir, "nats"), Count: 3}); err != nil {
		return err
	}
	if s.nc, err = connect(s.cluster.URLs()); err != nil {
		return err
	}
	addrs := make([]string, s.cluster.Count())
	for i := range addrs {
		addrs[i] = s.cluster.Addr(i)
	}
	for range 3 {
		if err := s.outside(o, addrs); err != nil {
			return err
		}
	}
	return nil
}

// outside is a gateway that reaches NATS by lines.
func (s *system) outside(o Options, addrs []string) error {
	var lines []*line.Proxy
	urls := ""
	for _, addr := range addrs {
		l, err := line.Listen(addr)
		if err != nil {
			return err
		}
		lines = append(lines, l)
		if urls != "" {
			urls += ","
		}
		urls += "nats://" + l.Addr()
	}
	return s.gateway(o, lines, "BELFRY_NATS_URL="+urls)
}

func (s *system) gateway(o Options, back []*line.Proxy, env ...string) error {
	if o.Names.Prefix != "" {
		env = append(env, "BELFRY_NATS_PREFIX="+o.Names.Prefix)
	}
	g, err := newGateway(fmt.Sprint(len(s.gateways)+1), o.Belfry, o.Dir, back, env...)
	if err != nil {
		return err
	}
	s.gateways = append(s.gateways, g)
	return g.start()
}

// connect is our own connection to NATS: what it can't send at once fails, and
// is tried again by who wanted it.
func connect(urls []string) (*nats.Conn, error) {
	o := nats.GetDefaultOptions()
	o.Servers = urls
	o.MaxReconnect, o.ReconnectWait, o.ReconnectJitter = -1, 50*time.Millisecond, 50*time.Millisecond
	o.ReconnectBufSize = -1
	o.PingInterval, o.MaxPingsOut = time.Second, 2
	o.Name = "belfry verify"
	o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // our own faults; the default prints them
	nc, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %v: %w", urls, err)
	}
	return nc, nil
}

// well waits until everything is as it should be: no fault is in force.
func (s *system) well(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	for _, g := range s.gateways {
		if err := g.ready(ctx); err != nil {
			return err
		}
	}
	if s.cluster == nil {
		return nil
	}
	for _, name := range []string{s.names.Notifications(), s.names.Channels(), "KV_" + s.names.Cursors()} {
		if err := s.cluster.WaitCurrent(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// close ends all that was started.
func (s *system) close() error {
	var errs []error
	for i := len(s.gateways) - 1; i >= 0; i-- {
		errs = append(errs, s.gateways[i].close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	if s.ours && s.nc != nil {
		s.nc.Close()
	}
	return errors.Join(errs...)
}
