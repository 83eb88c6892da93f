package bus

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/config"
)

// cluster starts n servers with JetStream that know each other.
func cluster(t *testing.T, n int) ([]*server.Server, config.Options) {
	t.Helper()
	var routes []*url.URL
	ports := make([]int, n)
	for i := range ports {
		ports[i] = freePort(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	servers := make([]*server.Server, n)
	ready := make(chan int, n)
	for i := range servers {
		opts := &server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}
		s, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		servers[i] = s
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		go func() {
			s.Start()
			ready <- i
		}()
	}
	o := config.Default()
	for range servers {
		i := <-ready
		if !servers[i].ReadyForConnections(patience) {
			t.Fatalf("server %d is not ready", i)
		}
		o.NATS.URL = append(o.NATS.URL, servers[i].ClientURL())
	}
	return servers, o
}

// Streams get three replicas, by themselves, as soon as the cluster has a
// leader; and a node that goes costs nothing that was acknowledged.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	servers, o := cluster(t, 3)
	b := start(t, o)
	eventually(t, "it connects", func() bool { return connected(b) })
	ensured(t, b)
	for _, name := range []string{"BELFRY_NOTIFICATIONS", "BELFRY_CHANNELS"} {
		if r := configOf(t, b, name).Replicas; r != 3 {
			t.Errorf("%s has %d replicas", name, r)
		}
	}
	const n = 200
	for i := range n {
		if i == n/2 {
			go stopNodeOf(b, servers)
		}
		if _, err := b.Publish(within(t), "notification.1", fmt.Sprint(i), []byte("x")); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
	}
	ensured(t, b)
	if got := stored(t, b, "BELFRY_NOTIFICATIONS"); got != n {
		t.Errorf("%d stored of %d acknowledged", got, n)
	}
}

// stopNodeOf stops the server that the bus is connected to.
func stopNodeOf(b *Bus, servers []*server.Server) {
	for _, s := range servers {
		if s.Name() == b.Conn().ConnectedServerName() {
			s.Shutdown()
			return
		}
	}
}

// Two servers can't have three replicas: after a while that is taken for
// what there is.
func TestClusterOfTwo(t *testing.T) {
	t.Parallel()
	_, o := cluster(t, 2)
	log, lines := logger(t)
	b := startWith(t, o, log)
	b.streams.settle = 300 * time.Millisecond
	eventually(t, "it connects", func() bool { return connected(b) })
	ensured(t, b)
	if r := configOf(t, b, "BELFRY_NOTIFICATIONS").Replicas; r != 1 {
		t.Errorf("%d replicas", r)
	}
	if !contains(lines, "fewer than three servers") {
		t.Error("nothing in the log")
	}
}

// A server that takes its time to say who leads keeps only the one waiting who
// asked it.
func TestLeaderlessWhileAsked(t *testing.T) {
	began := time.Now()
	c := &membership{since: began}
	asking, answer, done := make(chan struct{}), make(chan string), make(chan struct{})
	go func() {
		defer close(done)
		if since, yes := c.leaderless(func() string { close(asking); return <-answer }); yes {
			t.Errorf("with a leader it says that there is none since %v", since)
		}
	}()
	<-asking
	if since, yes := c.leaderless(func() string { t.Error("asked a second time"); return "" }); !yes || !since.Equal(began) {
		t.Errorf("meanwhile: %v, %v, and nothing is known yet", since, yes)
	}
	answer <- "node1"
	<-done
	if _, yes := c.leaderless(func() string { t.Error("asked again at once"); return "" }); yes {
		t.Error("what was answered is not known to the next")
	}
}
