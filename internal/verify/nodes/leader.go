package nodes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// askWithin bounds one question to JetStream, and askEvery is the pause after
	// one that was not answered as wished.
	askWithin = time.Second
	askEvery  = 50 * time.Millisecond
)

// Leader returns the node that leads a stream, -1 where none does or JetStream
// does not say. A single node leads everything it has.
func (c *Cluster) Leader(ctx context.Context, stream string) (int, error) {
	var leader int
	err := c.ask(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		leader, err = c.leader(ctx, js, stream)
		return err
	})
	return leader, err
}

// WaitLeader waits until a stream has a leader, and returns it.
func (c *Cluster) WaitLeader(ctx context.Context, stream string) (int, error) {
	leader := -1
	err := c.await(ctx, "stream "+stream+" has no leader", func(ctx context.Context, js jetstream.JetStream) (err error) {
		leader, err = c.leader(ctx, js, stream)
		return err
	})
	return leader, err
}

// WaitCurrent waits until every replica of a stream has what its leader has:
// losing one node more then loses nothing.
func (c *Cluster) WaitCurrent(ctx context.Context, stream string) error {
	return c.await(ctx, "the replicas of stream "+stream+" are not current", func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		info := s.CachedInfo()
		if info.Cluster == nil || info.Config.Replicas <= 1 {
			return nil
		}
		if info.Cluster.Leader == "" {
			return errors.New("no leader")
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline || r.Lag > 0 {
				return fmt.Errorf("%s is %d behind", r.Name, r.Lag)
			}
		}
		return nil
	})
}

func (c *Cluster) leader(ctx context.Context, js jetstream.JetStream, stream string) (int, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return -1, err
	}
	cluster := s.CachedInfo().Cluster
	if len(c.nodes) == 1 {
		return 0, nil
	}
	for i, n := range c.nodes {
		if cluster != nil && cluster.Leader == n.name {
			return i, nil
		}
	}
	return -1, fmt.Errorf("stream %s has no leader", stream)
}

// waitMeta waits until JetStream answers and, in a cluster, sees every node: a
// stream with as many replicas can then be made.
func (c *Cluster) waitMeta(ctx context.Context) error {
	const probe = "VERIFY_NODES_READY"
	return c.await(ctx, "JetStream does not get ready", func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: probe, Subjects: []string{probe}, Storage: jetstream.MemoryStorage, Replicas: len(c.nodes)})
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		return js.DeleteStream(ctx, probe)
	})
}

// await asks again and again until the answer is as wished.
func (c *Cluster) await(ctx context.Context, otherwise string, f func(context.Context, jetstream.JetStream) error) error {
	for {
		err := c.ask(ctx, f)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return fmt.Errorf("NATS: %s: %w: %w", otherwise, context.Cause(ctx), err)
		}
	}
}

// ask puts a question to each node in turn, over a connection of its own, until
// one answers as wished.
func (c *Cluster) ask(ctx context.Context, f func(context.Context, jetstream.JetStream) error) error {
	err := errors.New("no node runs")
	for _, n := range c.nodes {
		if !n.running() {
			continue
		}
		if err = c.askNode(ctx, n, f); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (c *Cluster) askNode(ctx context.Context, n *node, f func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	nc, err := nats.Connect("nats://"+n.addr, nats.UserInfo(c.o.User, c.o.Password), nats.NoReconnect(), nats.Timeout(askWithin))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return f(ctx, js)
}
