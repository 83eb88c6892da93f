package journal

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/config"
	"belfry/internal/position"
)

// nodes starts a NATS cluster of three.
func nodes(t *testing.T) []*server.Server {
	t.Helper()
	var all []*server.Server
	var routes []*url.URL
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	for i, route := range routes {
		var port int
		if _, err := fmt.Sscanf(route.Port(), "%d", &port); err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
	}
	for _, s := range all {
		go s.Start()
	}
	for _, s := range all {
		if !s.ReadyForConnections(patience) {
			t.Fatal("a node is not ready")
		}
	}
	return all
}

// TestNodesGo: the node that leads the stream goes, and the one that the gateway
// is connected to. Nothing is lost, nothing comes twice, and an election is no
// reset.
func TestNodesGo(t *testing.T) {
	all := nodes(t)
	w := &world{t: t, pace: usual, log: quietLog(), fatalf: t.Fatalf, o: config.Default()}
	for _, s := range all {
		w.o.NATS.URL = append(w.o.NATS.URL, s.ClientURL())
	}
	w.o.Stream.MaxBytes = 16 << 20
	w.backend = w.bus()
	w.ensure()
	w.pub = NewPublisher(w.backend)
	j, h := w.gateway()
	var want []string
	var last Receipt
	publish := func(n int) {
		for range n {
			text := fmt.Sprint("p", len(want))
			last = w.publish("#1", text)
			want = append(want, fmt.Sprintf("%d #1 %s", last.Seq, text))
		}
	}
	publish(50)
	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	for _, s := range all {
		if s.Name() == leader {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	publish(50)
	w.reaches(h, notifications, last.Position.Get(notifications))
	expectTexts(t, "publications", h.got(notifications, last.Epoch), want)
	if n := len(h.resetMarks()); n > 0 {
		t.Errorf("%d resets", n)
	}
	t.Logf("%+v", j.Stats().Streams[0])
	if m := h.mark(position.Channels); m.Epoch == "" {
		t.Errorf("the other stream is at %v", m)
	}
}
