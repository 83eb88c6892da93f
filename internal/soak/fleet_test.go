//go:build soak

package soak

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/app/apptest"
)

// A member is one of several gateways on one NATS. Its public address stays.
type member struct {
	t      *testing.T
	nats   string
	data   string
	public string
	env    []string
	cmd    *exec.Cmd
}

func newMember(t *testing.T, nats string, env ...string) *member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := &member{t: t, nats: nats, data: t.TempDir(), public: l.Addr().String(), env: env}
	t.Cleanup(m.kill)
	return m
}

// start returns when it is ready.
func (m *member) start() {
	m.t.Helper()
	file := filepath.Join(m.data, "addresses.json")
	_ = os.Remove(file)
	m.cmd = exec.Command(binary, "serve", "--data", m.data, "--nats", m.nats, "--public", m.public, "--internal", "127.0.0.1:0", "--log-level", "warn")
	m.cmd.Env = append(os.Environ(), append([]string{"BELFRY_MESSAGECHANNEL_LEGACY=false"}, m.env...)...)
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	await(m.t, "a gateway", func() bool {
		text, err := os.ReadFile(file)
		var at struct{ Public string }
		return err == nil && json.Unmarshal(text, &at) == nil
	})
}

func (m *member) kill() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// terminate is SIGTERM; it returns when the process has ended, and wants 0.
func (m *member) terminate() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("a gateway ended with %v", err)
	}
	m.cmd = nil
}

// An asked is a backend that takes some time for each answer.
type asked struct {
	underWay, most atomic.Int64
	bySecond       *tally
}

func answer(t *testing.T, url string, takes time.Duration) *asked {
	t.Helper()
	a, nc := &asked{bySecond: newTally()}, apptest.Connect(t, url)
	if _, err := nc.Subscribe("authentication", func(m *nats.Msg) {
		now := a.underWay.Add(1)
		for most := a.most.Load(); now > most && !a.most.CompareAndSwap(most, now); most = a.most.Load() {
		}
		a.bySecond.add()
		time.AfterFunc(takes, func() {
			a.underWay.Add(-1)
			user := strings.TrimPrefix(string(m.Data), "user:")
			_ = m.Respond([]byte(`{"success":true,"user_id":"` + user + `"}`))
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return a
}

// have waits until each roamer has got so many.
func have(t *testing.T, roamers []*roamer, n func(i int) int64) {
	t.Helper()
	i := 0
	await(t, "all clients to have everything", func() bool {
		for i < len(roamers) && roamers[i].next.Load() >= n(i) {
			i++
		}
		return i == len(roamers) || roamers[i].failed() != nil
	})
	blamed(t, roamers)
}

func blamed(t *testing.T, roamers []*roamer) {
	t.Helper()
	shown := 0
	for i, r := range roamers {
		if err := r.failed(); err != nil && shown < 10 {
			shown++
			t.Errorf("client %d: %v", i, err)
		}
	}
	if shown > 0 {
		t.FailNow()
	}
}

// opening has all come one after the other, and waits until they are there.
func opening(t *testing.T, roamers []*roamer) {
	t.Helper()
	for i := 0; i < len(roamers); i += 250 {
		group := roamers[i:min(i+250, len(roamers))]
		release(group)
		await(t, "the clients to be there", func() bool {
			_, all := group[0].opened.sum()
			return all >= i+len(group)
		})
	}
	t.Cleanup(func() {
		for _, r := range roamers {
			r.stop()
		}
	})
}

// TestRollingRestarts restarts two gateways twice, one after the other, with
// 10,000 clients and publications that go on: nothing is lost, doubled or out of
// order, and in no second do more than twice as many come back as the even pace
// sends away.
func TestRollingRestarts(t *testing.T) {
	const clients, drain, rate = 10_000, 30 * time.Second, 300
	n := apptest.StartNATS(t, true)
	backend := answer(t, n.URL(), 5*time.Millisecond)
	env := []string{"BELFRY_DRAIN_DELAY=2s", "BELFRY_DRAIN=" + drain.String()}
	a, b := newMember(t, n.URL(), env...), newMember(t, n.URL(), env...)
	a.start()
	b.start()
	opened, came := newTally(), newTally()
	roamers := make([]*roamer, clients)
	for i := range roamers {
		roamers[i] = &roamer{user: i, opened: opened, came: came, where: func() []string { return either(a.public, b.public) }}
	}
	opening(t, roamers)

	stop, stopped := make(chan struct{}), make(chan int)
	go publishAt(t, n.URL(), rate, clients, stop, stopped)
	for round := range 2 {
		for i, m := range []*member{a, b} {
			opened.peak()
			came.peak()
			backend.bySecond.peak()
			had := connected(t, m)
			began := time.Now()
			m.terminate()
			took := time.Since(began)
			m.start()
			await(t, "all to be back", func() bool { _, all := opened.sum(); return all >= had })
			_, all := opened.peak()
			peak, _ := came.peak()
			asks, _ := backend.bySecond.peak()
			pace := float64(had) / drain.Seconds()
			t.Logf("round %d, gateway %d: %d clients sent away in %.1f s, %.0f a second; %d are back, at most %d came in a second; at most %d authentications in a second",
				round+1, i+1, had, took.Seconds(), pace, all, peak, asks)
			if float64(peak) > 2*pace {
				t.Errorf("%d came back in a second, more than twice the pace of %.0f", peak, pace)
			}
		}
	}
	close(stop)
	published := <-stopped
	have(t, roamers, func(i int) int64 { return int64((published + clients - 1 - i) / clients) })
	t.Logf("%d publications, each delivered once and in order", published)
}

// publishAt publishes to one user after the other, with acks, until stop.
func publishAt(t *testing.T, url string, rate, users int, stop chan struct{}, stopped chan int) {
	js, err := apptest.Connect(t, url).JetStream(nats.PublishAsyncMaxPending(256))
	if err != nil {
		t.Error(err)
		return
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			<-js.PublishAsyncComplete()
			stopped <- i
			return
		case <-tick.C:
			if _, err := js.PublishAsync(fmt.Sprint("notification.", i%users), []byte(fmt.Sprint(i/users)), nats.StallWait(patience)); err != nil {
				t.Error(err)
			}
		}
	}
}

// connected is how many connections a gateway has.
func connected(t *testing.T, m *member) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.data, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t}
	if err := json.Unmarshal(text, &g.addresses); err != nil {
		t.Fatal(err)
	}
	return int(g.metric(`belfry_connections{dialect="eventsource"}`))
}

// TestReconnectStorm kills a gateway with 15,000 clients, who all go to another
// one at once, and have missed something each.
func TestReconnectStorm(t *testing.T) {
	const clients, cap, takes = 15_000, 128, 20 * time.Millisecond
	n := apptest.StartNATS(t, true)
	backend := answer(t, n.URL(), takes)
	// A question that was given up is not counted any more, though a backend that
	// is late may still have it; here none is to be given up.
	env := []string{fmt.Sprint("BELFRY_AUTH_CONCURRENT=", cap), "BELFRY_AUTH_TIMEOUT=1m"}
	a, b := newMember(t, n.URL(), env...), newMember(t, n.URL(), env...)
	a.start()
	b.start()
	var gone atomic.Bool
	gate, opened := make(chan struct{}), newTally()
	roamers := make([]*roamer, clients)
	for i := range roamers {
		roamers[i] = &roamer{user: i, opened: opened, came: newTally(), hold: func() { <-gate }, where: func() []string {
			if gone.Load() {
				return []string{b.public}
			}
			return []string{a.public}
		}}
	}
	opening(t, roamers)

	gone.Store(true)
	a.kill()
	await(t, "all to be gone", func() bool { return backend.underWay.Load() == 0 })
	js, err := apptest.Connect(t, n.URL()).JetStream(nats.PublishAsyncMaxPending(1024))
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		if _, err := js.PublishAsync(fmt.Sprint("notification.", i), []byte("0"), nats.StallWait(patience)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	settle := time.Now().Add(3500 * time.Millisecond) // longer than anyone waits to come back
	await(t, "all to wait", func() bool { return time.Now().After(settle) })

	backend.most.Store(0)
	backend.bySecond.peak()
	opened.peak()
	took := make([]time.Duration, clients)
	tries := make([]int64, clients)
	began := time.Now()
	close(gate)
	left := clients
	await(t, "all to be back and caught up", func() bool {
		for i, r := range roamers {
			tries[i] = max(tries[i], r.attempts.Load())
			if took[i] == 0 && r.next.Load() > 0 {
				took[i] = time.Since(began)
				left--
			}
		}
		return left == 0
	})
	all := time.Since(began)
	blamed(t, roamers)
	_, asks := backend.bySecond.sum()
	peak, _ := backend.bySecond.peak()
	most := int64(0)
	for _, n := range tries {
		most = max(most, n)
	}
	t.Logf("%d clients came at once: all back and caught up after %.1f s (p50 %.1f s, p99 %.1f s); at most %d authentications at a time of %d allowed, %d in a second, %d in all; at most %d tries by one client",
		clients, all.Seconds(), percentile(took, 50)/1000, percentile(took, 99)/1000, backend.most.Load(), cap, peak, asks, most)
	if backend.most.Load() > cap {
		t.Errorf("the backend was asked %d things at a time", backend.most.Load())
	}
	if most > 10 {
		t.Errorf("a client had to try %d times", most)
	}
}
