package nodes_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/verify/line"
	"belfry/internal/verify/nodes"
	"belfry/internal/verify/nodes/nodestest"
)

func TestMain(m *testing.M) { os.Exit(nodestest.Main(m)) }

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), nodestest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// A client publishes to one stream and counts what was acknowledged.
type client struct {
	t     *testing.T
	nc    *nats.Conn
	js    jetstream.JetStream
	acked int
}

const stream = "S"

func connect(t *testing.T, replicas int, urls ...string) *client {
	t.Helper()
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.PingInterval(500*time.Millisecond)) // it leaves a node that is stopped
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, nc: nc, js: js}
	if _, err := js.CreateStream(patience(t), jetstream.StreamConfig{Name: stream, Subjects: []string{"s"}, Replicas: replicas}); err != nil {
		t.Fatal(err)
	}
	return c
}

// try publishes once.
func (c *client) try() error {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	_, err := c.js.Publish(ctx, "s", []byte("x"), jetstream.WithRetryAttempts(0))
	if err == nil {
		c.acked++
	}
	return err
}

// put publishes until there is an ack.
func (c *client) put() {
	c.t.Helper()
	for patience := patience(c.t); ; {
		err := c.try()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-patience.Done():
			c.t.Fatalf("publishing: %v", err)
		}
	}
}

// has expects the stream to have what was acknowledged, at least.
func (c *client) has() {
	c.t.Helper()
	s, err := c.js.Stream(patience(c.t), stream)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got < uint64(c.acked) {
		c.t.Errorf("the stream has %d messages, %d were acknowledged", got, c.acked)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneNodeIsKilledAndTerminated(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 1})
	c := connect(t, 1, n.URLs()...)
	c.put()
	must(t, n.Kill(0))
	if n.Running(0) {
		t.Error("a killed node runs")
	}
	if err := c.try(); err == nil {
		t.Error("a killed node acknowledges")
	}
	if err := n.Stop(0); err == nil {
		t.Error("a node that does not run can be stopped")
	}
	must(t, n.Restart(patience(t), 0))
	c.put()
	must(t, n.Terminate(patience(t), 0))
	must(t, n.Restart(patience(t), 0))
	c.put()
	must(t, n.Restart(patience(t), 0)) // a running one
	c.put()
	c.has()
	if text, err := os.ReadFile(n.Log(0)); err != nil || strings.Count(string(text), "Server is ready") != 4 {
		t.Errorf("the log does not tell of four starts: %v\n%s", err, text)
	}
}

func TestAStoppedNodeGoesOn(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 1})
	c := connect(t, 1, n.URLs()...)
	must(t, n.Stop(0))
	if err := c.try(); err == nil {
		t.Error("a stopped node acknowledges")
	}
	must(t, n.Continue(0))
	c.put()
	c.has()
}

func TestAFullDiskRefusesWrites(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 1})
	c := connect(t, 1, n.URLs()...)
	c.put()
	must(t, n.FillDisk(0))
	if err := c.try(); err == nil {
		t.Error("a publication was acknowledged while nothing could be written")
	}
	must(t, n.FreeDisk(0))
	must(t, n.Restart(patience(t), 0))
	c.put()
	c.has()
}

func TestAClusterLosesItsLeader(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 3})
	c := connect(t, 3, n.URLs()...)
	for _, lose := range []func(int) error{n.Kill, n.Stop} {
		c.put()
		must(t, n.WaitCurrent(patience(t), stream))
		leader, err := n.WaitLeader(patience(t), stream)
		must(t, err)
		must(t, lose(leader))
		c.put()
		if n.Running(leader) {
			must(t, n.Continue(leader))
		} else {
			must(t, n.Restart(patience(t), leader))
		}
	}
	must(t, n.WaitCurrent(patience(t), stream))
	c.has()
}

// The others go on where the disk of one is full, and it comes back when it is
// started again.
func TestAClustersLeaderRunsOutOfDisk(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 3})
	c := connect(t, 3, n.URLs()...)
	c.put()
	must(t, n.WaitCurrent(patience(t), stream))
	leader, err := n.WaitLeader(patience(t), stream)
	must(t, err)
	must(t, n.FillDisk(leader))
	for range 10 {
		c.put()
	}
	must(t, n.FreeDisk(leader))
	must(t, n.Restart(patience(t), leader))
	c.put()
	must(t, n.WaitCurrent(patience(t), stream))
	c.has()
}

// A client knows no address but that of the line it was given.
func TestClientsStayOnTheirLines(t *testing.T) {
	n := nodestest.Start(t, nodes.Options{Count: 3})
	var urls []string
	var lines []*line.Proxy
	for i := range n.Count() {
		l, err := line.Listen(n.Addr(i))
		must(t, err)
		t.Cleanup(l.Close)
		lines, urls = append(lines, l), append(urls, "nats://"+l.Addr())
	}
	c := connect(t, 3, urls...)
	c.put()
	if d := c.nc.DiscoveredServers(); len(d) > 0 {
		t.Errorf("the client was told of %v", d)
	}
	for _, l := range lines {
		l.Cut()
	}
	if err := c.try(); err == nil {
		t.Error("a publication was acknowledged over lines that are cut")
	}
	for _, l := range lines {
		l.Heal()
	}
	c.put()
	c.has()
}

func TestWhatCanNotBeStarted(t *testing.T) {
	ctx := patience(t)
	if _, err := nodes.Start(ctx, nodes.Options{Binary: nodestest.Binary(t), Dir: t.TempDir(), Count: 2}); err == nil {
		t.Error("two nodes are a cluster")
	}
	_, err := nodes.Start(ctx, nodes.Options{Binary: nodestest.Binary(t), Dir: t.TempDir(), Count: 1, Config: "no such key: {"})
	if err == nil || !strings.Contains(fmt.Sprint(err), "ended before it took connections") {
		t.Errorf("a configuration that is no good: %v", err)
	}
}
