package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
)

// cursorServer is a NATS of its own, so that it can go away and come back.
func cursorServer(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(cursorPatienceInTests) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// What is confirmed while NATS is away is written when it is back.
func TestCursorsOutliveNATS(t *testing.T) {
	dir := t.TempDir()
	s := cursorServer(t, dir, server.RANDOM_PORT)
	port := s.Addr().(*net.TCPAddr).Port
	o := config.Default()
	o.NATS.URL = []string{s.ClientURL()}
	b := cursorBusWith(t, o)
	g := cursorsOn(t, b)
	stays, goes := g.begun("stays", 100), g.begun("goes", 100)
	g.pass(cursorEvery)
	g.write()
	g.expect("goes", g.plain("e1", 100))

	s.Shutdown()
	s.WaitForShutdown()
	cursorEventually(t, "NATS is gone", func() bool { _, away := b.Away(); return away })
	stays.Confirm(110)
	goes.Sent(112)
	goes.Confirm(111)
	goes.Close()
	g.pass(time.Minute)
	g.step()
	if a := <-g.openSoon("goes", "", "e1", true); a.err == nil || a.c != nil {
		t.Errorf("opened without NATS: %+v", a)
	}
	if n := g.Stats(); n.Dirty != 2 || n.Oldest != time.Minute || n.Users != 1 {
		t.Errorf("counted %+v", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := g.Flush(ctx); err == nil || !strings.Contains(err.Error(), "2 are unwritten") {
		t.Errorf("flushed without NATS: %v", err)
	}

	cursorServer(t, dir, port)
	cursorEventually(t, "both are written", func() bool {
		g.pass(cursorAgain)
		g.step()
		return g.Stats().Dirty == 0
	})
	g.expect("stays", g.plain("e1", 110))
	if got, err := decodeRecord([]byte(g.has("goes"))); err != nil || got.seq != 111 || len(got.tickets) != 1 || got.tickets[0].Seq != 111 {
		t.Errorf("goes is %+v, %v", got, err)
	}
}

// The bucket is deleted under a running gateway: it is made anew, and what the
// gateway knows is in it again.
func TestCursorBucketIsRepaired(t *testing.T) {
	b := cursorBus(t)
	g := cursorsOn(t, b)
	c := g.begun("42", 100)
	g.pass(cursorEvery)
	g.write()
	if err := b.JetStream().DeleteKeyValue(context.Background(), g.names.Cursors()); err != nil {
		t.Fatal(err)
	}
	c.Confirm(110)
	cursorEventually(t, "it is there again", func() bool {
		g.pass(cursorEvery)
		g.step()
		g.repair(context.Background())
		return g.Stats().Dirty == 0
	})
	g.expect("42", g.plain("e1", 110))
	if s := g.Stats(); s.Failures == 0 {
		t.Errorf("counted %+v", s)
	}
}

// While nobody answers for the bucket, what is due is written all the same, as
// soon as somebody takes it.
func TestCursorsAreWrittenWhileTheBucketIsLookedFor(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	c := g.begun("42", 100)
	asked := make(chan struct{})
	g.ensure = func(ctx context.Context) error {
		close(asked)
		<-ctx.Done() // the leader does not answer
		return ctx.Err()
	}
	g.mu.Lock()
	g.writes.missing = true
	g.mu.Unlock()
	go g.run()
	t.Cleanup(g.Close)
	c.Confirm(110)
	<-asked
	g.pass(cursorEvery)
	cursorEventually(t, "it is written", func() bool { return g.Stats().Dirty == 0 })
	g.expect("42", g.plain("e1", 110))
}

// An answer that is lost leaves open whether a ticket was taken or left. Then
// it is looked for, and neither lost nor taken twice.
func TestCursorAnswersAreLost(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	var lose atomic.Int32
	g.lossy(func(subject string) bool {
		return strings.HasPrefix(subject, "$KV.") && lose.Add(-1) >= 0
	})
	g.set("42", record{"e1", 120, []ticket{newTicket(100, g.now()), newTicket(101, g.now())}})
	lose.Store(1)
	a := g.open("42", "", true)
	if a.seq != 100 {
		t.Errorf("started at %d", a.seq)
	}
	g.expect("42", g.plain("e1", 120, 101))

	// Nobody is left to take it: it is put back.
	lose.Store(1)
	late := g.openSoon("42", "", "e1", true)
	g.pass(cursorPatience + 1)
	b := <-late
	if b.err == nil {
		t.Logf("answered in time: %+v", b)
	}
	cursorEventually(t, "it is back", func() bool {
		g.pass(cursorAgain)
		g.step()
		return g.Stats().Dirty == 0
	})
	if b.err != nil {
		if r, err := decodeRecord([]byte(g.has("42"))); err != nil || r.seq != 120 || len(r.tickets) != 1 || r.tickets[0].Seq != 101 {
			t.Errorf("42 is %+v, %v", r, err)
		}
	}
	a.c.Sent(130)
	a.c.Close()
	lose.Store(1)
	cursorEventually(t, "the ticket is left, once", func() bool {
		g.pass(cursorAgain)
		g.step()
		return g.Stats().Dirty == 0
	})
	r, err := decodeRecord([]byte(g.has("42")))
	n := 0
	for _, k := range r.tickets {
		if k.Seq == 100 {
			n++
		}
	}
	if err != nil || n != 1 {
		t.Errorf("42 is %+v, %v", r, err)
	}
}

// A random history of several connections through three gateways, against what
// must hold: the record never goes back, ends at the highest that was
// confirmed, and the tickets that were left are those that were taken and those
// that are there. The last does not hold where answers get lost: one that stays
// open while another gateway writes can't be found out any more.
func TestCursorStories(t *testing.T) {
	b := cursorBus(t)
	for seed := range uint64(10) {
		cursorStory(t, []*bus.Bus{b, b, b}, seed, false)
		cursorStory(t, []*bus.Bus{b, b, b}, seed, true)
	}
}

// The same with three replicas, each gateway at another server.
func TestCursorStoriesOnACluster(t *testing.T) {
	all := cursorCluster(t)
	for seed := range uint64(3) {
		cursorStory(t, all, seed, false)
		cursorStory(t, all, seed, true)
	}
	stream, err := all[0].JetStream().Stream(context.Background(), "KV_BELFRY_CURSORS")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().Config.Replicas; n != 3 {
		t.Errorf("%d replicas", n)
	}
}

// cursorCluster is a bus to each of three servers.
func cursorCluster(t *testing.T) (all []*bus.Bus) {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	var servers []*server.Server
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		go s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(cursorPatienceInTests) {
			t.Fatal("a server is not ready")
		}
		o := config.Default()
		o.NATS.URL = []string{s.ClientURL()}
		all = append(all, cursorBusWith(t, o))
	}
	return all
}

func cursorStory(t *testing.T, buses []*bus.Bus, seed uint64, loss bool) {
	random := rand.New(rand.NewPCG(seed, 1))
	user := fmt.Sprintf("user-%d-%t", seed, loss)
	var gates []*cursorGateway
	var lossy atomic.Bool
	var turn atomic.Uint64
	lossy.Store(loss)
	for _, b := range buses {
		g := cursorsOn(t, b)
		g.lossy(func(string) bool { return lossy.Load() && (turn.Add(1)*2654435761+seed)%7 == 0 })
		gates = append(gates, g)
	}
	var conns []*cursor
	var waiting []chan cursorAnswer
	var head, highest, before uint64 = 10, 0, 0
	sawTickets := 0
	arrive := func(ch chan cursorAnswer) {
		a := <-ch
		switch {
		case a.err != nil:
		case !a.found:
			a.c.Reset(position.Mark{Epoch: "e1", Seq: head})
			highest = max(highest, head)
			conns = append(conns, a.c)
		default:
			conns = append(conns, a.c)
		}
	}
	for range 150 {
		for _, g := range gates {
			g.pass(500 * time.Millisecond) // tickets do not expire in here
			g.step()
		}
		switch n := random.IntN(10); {
		case n < 3 && len(conns)+len(waiting) < 8:
			waiting = append(waiting, gates[random.IntN(3)].openSoon(user, "", "e1", true))
		case n < 4 && len(waiting) > 0:
			arrive(waiting[0])
			waiting = waiting[1:]
		case n < 8 && len(conns) > 0:
			head++
			c := conns[random.IntN(len(conns))]
			c.Sent(head)
			if random.IntN(2) == 0 {
				c.Confirm(head)
				highest = max(highest, head)
			}
		case len(conns) > 0:
			i := random.IntN(len(conns))
			conns[i].Close()
			conns = append(conns[:i], conns[i+1:]...)
		}
		if text := gates[0].has(user); text != "" {
			r, err := decodeRecord([]byte(text))
			if err != nil || r.seq < before {
				t.Fatalf("seed %d: the record went from %d to %s, %v", seed, before, text, err)
			}
			before = r.seq
			sawTickets = max(sawTickets, len(r.tickets))
		}
	}
	for _, ch := range waiting {
		arrive(ch)
	}
	for _, c := range conns {
		c.Close()
	}
	lossy.Store(false)
	cursorEventually(t, "all is written", func() bool {
		left := 0
		for _, g := range gates {
			g.pass(cursorAgain)
			g.step()
			left += g.Stats().Dirty
			g.mu.Lock()
			left += len(g.table)
			g.mu.Unlock()
		}
		return left == 0
	})
	var sum CursorStats
	for _, g := range gates {
		s := g.Stats()
		sum.TicketsMade += s.TicketsMade
		sum.TicketsTaken += s.TicketsTaken
		sum.TicketsDropped += s.TicketsDropped
		sum.TicketsExpired += s.TicketsExpired
		sum.Conflicts += s.Conflicts
		sum.Failures += s.Failures
	}
	r, err := decodeRecord([]byte(gates[0].has(user)))
	if err != nil || r.seq != highest {
		t.Errorf("seed %d: the record is %+v, %v, want %d", seed, r, err, highest)
	}
	if loss && sum.Failures == 0 || sum.Conflicts == 0 || sum.TicketsTaken == 0 || sawTickets == 0 {
		t.Errorf("seed %d: a dull story: %+v", seed, sum)
	}
	if !loss && sum.TicketsMade != sum.TicketsTaken+sum.TicketsDropped+uint64(len(r.tickets)) {
		t.Errorf("seed %d: %+v, and %d tickets are there", seed, sum, len(r.tickets))
	}
}

// Ten thousand connections at once take no ten thousand goroutines.
func TestCursorsOfTenThousandAtOnce(t *testing.T) {
	const n = 10_000
	g := cursorsOn(t, cursorBus(t))
	before := runtime.NumGoroutine()
	took, most := cursorStorm(g, n)
	if more := most - before; more > 20 {
		t.Errorf("%d goroutines for %d", more, n)
	}
	t.Logf("%d opens, none known: %v", n, took)
	g.mu.Lock()
	users := len(g.table)
	g.mu.Unlock()
	if users != n {
		t.Errorf("%d users", users)
	}
}

// cursorStorm opens n users' connections, and tells how long that took and how
// many goroutines there were at most.
func cursorStorm(g *cursorGateway, n int) (took time.Duration, goroutines int) {
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	began := time.Now()
	for i := range n {
		g.Open(fmt.Sprint(i), "", openIn("e1"), true, func(_ uint64, found bool, _ string, c hub.Cursor, err error) {
			if err != nil {
				g.t.Error(err)
			} else if !found {
				c.(*cursor).Reset(position.Mark{Epoch: "e1", Seq: 1})
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		})
		if i%256 == 0 {
			goroutines = max(goroutines, runtime.NumGoroutine())
		}
	}
	goroutines = max(goroutines, runtime.NumGoroutine())
	<-done
	return time.Since(began), goroutines
}

// A connection that ended while its cursor was asked for may still take a ticket,
// as the last thing that happens: it is left again before the gateway is gone.
func TestFlushWaitsForWhoStillOpens(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(30, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	q := hub.Query{User: "1", Channels: []string{"#1"}, Confirms: true, Tickets: true}
	behind, ahead := w.resolve(j, q), w.resolve(j, q)
	behind.Cursor.Sent(20)
	behind.Cursor.Confirm(10)
	ahead.Cursor.Sent(20)
	ahead.Cursor.Confirm(20)
	behind.Cursor.Break()
	ahead.Cursor.Close()
	if err := j.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}

	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	request := j.cursors.store.request
	j.cursors.store.request = func(m *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) func() bool {
		return request(m, timeout, func(reply *nats.Msg, err error) {
			once.Do(func() { close(held) })
			go func() { <-release; done(reply, err) }()
		})
	}
	j.Resolve(q, func(s hub.Start) { s.Cursor.Break() }) // as the hub does, whose connection ended meanwhile
	<-held
	flushed := make(chan error, 1)
	go func() { flushed <- j.Flush(w.ctx()) }()
	w.eventually("the flush waits", func() bool {
		j.cursors.mu.Lock()
		defer j.cursors.mu.Unlock()
		return len(flushed) > 0 || len(j.cursors.vacant) > 0
	})
	close(release)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	j.Close()

	other, h := w.gateway()
	w.reaches(h, notifications, last.Position.Get(notifications))
	if s := w.resolve(other, q); s.Err != nil || s.At.Get(notifications).Seq >= 20 {
		t.Errorf("it starts behind %d (%v): its ticket is gone", s.At.Get(notifications).Seq, s.Err)
	}
}
