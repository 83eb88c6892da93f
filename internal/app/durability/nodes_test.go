package durability

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/app/apptest"
)

// A fleet is gateways whose embedded NATS servers form a cluster.
type fleet struct {
	nodes []*gateway
	names []string
	nats  string // all of them
	store *store
}

// prepareFleet makes n gateways that are nodes of a cluster, and starts none.
func prepareFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := &fleet{}
	ports := freePorts(t, 2*n)
	var routes, urls []string
	for i := range n {
		routes = append(routes, ports[i])
		urls = append(urls, "nats://"+ports[n+i])
	}
	for i := range n {
		name := fmt.Sprint("node-", i)
		f.names = append(f.names, name)
		f.nodes = append(f.nodes, prepare(t, "", "BELFRY_NATS_LISTEN="+ports[n+i],
			"BELFRY_NATS_CLUSTER_NAME=acme", "BELFRY_NATS_CLUSTER_NODE="+name, "BELFRY_NATS_CLUSTER_LISTEN="+routes[i],
			"BELFRY_NATS_CLUSTER_ROUTES="+strings.Join(routes, ","), "BELFRY_NATS_CLUSTER_SECRET=a-secret-of-the-nodes"))
	}
	f.nats = strings.Join(urls, ",")
	return f
}

// startFleet starts the last node first.
func startFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := prepareFleet(t, n)
	for _, g := range slices.Backward(f.nodes) {
		g.begin()
	}
	for _, g := range f.nodes {
		g.await()
	}
	apptest.Backend(t, f.nats, "")
	f.store = openStore(t, f.nats)
	return f
}

// freePorts are addresses on loopback where nobody listens.
func freePorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// leader is which node leads the stream of notifications, -1 for none.
func (f *fleet) leader(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stream, err := f.store.js.Stream(ctx, notifications)
	if err != nil || stream.CachedInfo().Cluster == nil {
		return -1
	}
	return slices.Index(f.names, stream.CachedInfo().Cluster.Leader)
}

// awaitLeader waits for one.
func (f *fleet) awaitLeader(t *testing.T) (node int) {
	t.Helper()
	apptest.Eventually(t, "the stream has a leader", func() bool { node = f.leader(t); return node >= 0 })
	return node
}

// whole tells whether all copies of the stream are up to date.
func (f *fleet) whole(t *testing.T) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stream, err := f.store.js.Stream(ctx, notifications)
	if err != nil {
		return false
	}
	c := stream.CachedInfo().Cluster
	if c == nil || c.Leader == "" || len(c.Replicas) != len(f.nodes)-1 {
		return false
	}
	for _, r := range c.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

// A press publishes for a user, one after the other with acks, until it is
// stopped.
type press struct {
	store   *store
	subject string
	stop    chan struct{}
	done    sync.WaitGroup

	mu    sync.Mutex // guards the following
	acked []string
	worst time.Duration
}

func startPress(t *testing.T, f *fleet, user string) *press {
	p := &press{store: openStore(t, f.nats), subject: "notification." + user, stop: make(chan struct{})}
	p.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-p.stop:
				return
			case <-time.After(2 * time.Millisecond): // a pace, about 300 a second
			}
			text, began := fmt.Sprint(user, " ", i), time.Now()
			p.store.putAs(p.subject, fmt.Sprint(i), text)
			p.mu.Lock()
			p.acked, p.worst = append(p.acked, text), max(p.worst, time.Since(began))
			p.mu.Unlock()
		}
	})
	return p
}

// count is how many are acknowledged.
func (p *press) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// forget forgets the worst wait and returns it.
func (p *press) forget() (worst time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	worst, p.worst = p.worst, 0
	return worst
}

// more waits until so many more are acknowledged.
func (p *press) more(t *testing.T, n int) {
	t.Helper()
	until := p.count() + n
	apptest.Eventually(t, "publishing goes on", func() bool { return p.count() >= until })
}

func (p *press) end() []string {
	close(p.stop)
	p.done.Wait()
	return p.acked
}

// A leader is killed under publishes: nothing that was acknowledged is lost, the
// clients of the others stay and go on, and the killed one comes back and
// catches up. Another is ended by SIGTERM, and hands over.
func TestNodesOfACluster(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3)
	info := f.store.stream(notifications).CachedInfo()
	if info.Config.Replicas != 3 {
		t.Fatalf("the stream has %d replicas", info.Config.Replicas)
	}
	var sockets []*apptest.Client
	var streams []*apptest.Events
	for _, g := range f.nodes {
		sockets = append(sockets, attach(t, g.at.Public, "1"))
		streams = append(streams, apptest.Follow(t, g.at.Public, "1").Started())
	}
	p := startPress(t, f, "1")
	p.more(t, 100)

	killed := f.awaitLeader(t)
	p.forget()
	f.nodes[killed].kill()
	p.more(t, 100)
	t.Logf("kill -9 of the leader: the longest wait for an ack was %v", p.forget().Round(time.Millisecond))
	f.nodes[killed].start()
	apptest.Eventually(t, "the killed node has caught up", func() bool { return f.whole(t) })
	lastID := streams[killed].LastID()
	back := apptest.Follow(t, f.nodes[killed].at.Public, "1", "last-event-id", lastID)

	ended := f.awaitLeader(t)
	p.more(t, 10)
	p.forget()
	f.nodes[ended].terminate()
	left := time.Now()
	f.awaitLeader(t)
	if took := time.Since(left); took > 3*time.Second { // an election begins after 4 s at the earliest
		t.Errorf("the leader left without handing over: there was none for %v", took)
	}
	p.more(t, 100)
	t.Logf("SIGTERM of the leader: the longest wait for an ack was %v", p.forget().Round(time.Millisecond))

	// As when its machine is replaced: the same name, and nothing stored.
	if err := os.RemoveAll(filepath.Join(f.nodes[ended].data, "nats")); err != nil {
		t.Fatal(err)
	}
	f.nodes[ended].start()
	apptest.Eventually(t, "the ended node is back", func() bool { return f.whole(t) })

	acked := p.end()
	for i := range f.nodes {
		if i != killed && i != ended {
			sockets[i].Expect(acked...)
			streams[i].Expect(acked...)
		}
	}
	if ended != killed { // the client went on where it had been, on another connection
		seen := int(seenBy(lastID))
		back.Expect(acked[seen:]...)
	}

	apptest.Eventually(t, "all nodes have all of it", func() bool { return f.whole(t) })
	if other := f.awaitLeader(t); other != ended { // its copy counts: it is half of what is left
		f.nodes[other].kill()
		f.awaitLeader(t)
	}
	if got := int(f.store.stream(notifications).CachedInfo().State.LastSeq); got != len(acked) {
		t.Errorf("%d stored, %d acknowledged", got, len(acked))
	}
}

// seenBy is the sequence in the position of an EventSource: base36, last.
func seenBy(position string) (seq uint64) {
	part := position[strings.LastIndexByte(position, '-')+1:]
	for _, c := range part {
		digit := uint64(strings.IndexRune("0123456789abcdefghijklmnopqrstuvwxyz", c))
		seq = seq*36 + digit
	}
	return seq
}

// A node alone is not ready and says what it waits for; it becomes ready when
// the others come, and is not any more when they have been gone for a while.
func TestNodeWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	f := prepareFleet(t, 3)
	f.nodes[1].env = append(f.nodes[1].env, "BELFRY_INTERNAL_LISTEN="+freePorts(t, 1)[0])
	internal := strings.TrimPrefix(f.nodes[1].env[len(f.nodes[1].env)-1], "BELFRY_INTERNAL_LISTEN=")
	f.nodes[1].begin()
	eventuallySays(t, internal, "starting", "1 of 3 nodes are here", "a node does not answer")
	f.nodes[0].begin()
	eventuallySays(t, internal, "starting", "2 of 3 nodes are here")
	f.nodes[2].begin()
	for _, g := range f.nodes {
		g.await()
	}
	f.nodes[0].kill()
	f.nodes[2].kill()
	eventuallySays(t, internal, "nats_away")
	f.nodes[0].start()
	eventuallySays(t, internal, "ready")
}

// eventuallySays waits until /readyz has these words.
func eventuallySays(t *testing.T, internal string, words ...string) {
	t.Helper()
	last, client := "", http.Client{Timeout: apptest.Patience}
	for deadline := time.Now().Add(3 * apptest.Patience); ; time.Sleep(20 * time.Millisecond) {
		if answer, err := client.Get("http://" + internal + "/readyz"); err == nil {
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			last = string(text)
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(last, w) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz does not say %q: %s", words, last)
		}
	}
}
