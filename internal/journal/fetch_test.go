package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
)

const fetchPatience = 20 * time.Second

// A fetchNATS is a real server with a stream, and a fetcher on it.
type fetchNATS struct {
	t      testing.TB
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	f      *fetcher
}

func fetchServer(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, JetStreamMaxStore: 4 << 30,
		JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(fetchPatience) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

func startFetchNATS(t testing.TB) *fetchNATS {
	t.Helper()
	n := &fetchNATS{t: t, server: fetchServer(t, t.TempDir(), server.RANDOM_PORT)}
	var err error
	if n.nc, err = nats.Connect(n.server.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.nc.Close)
	if n.js, err = jetstream.New(n.nc); err != nil {
		t.Fatal(err)
	}
	n.stream, err = n.js.CreateStream(n.ctx(), jetstream.StreamConfig{Name: "S", Subjects: []string{"n.*"}, AllowDirect: true, AllowMsgTTL: true, Metadata: map[string]string{"belfry_epoch": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if n.f, err = newFetcher(n.nc, apiPrefix("")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.f.close)
	return n
}

func (n *fetchNATS) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), fetchPatience)
	n.t.Cleanup(cancel)
	return ctx
}

func (n *fetchNATS) publish(subject, data string, header nats.Header) (seq uint64) {
	n.t.Helper()
	ack, err := n.js.PublishMsg(n.ctx(), &nats.Msg{Subject: subject, Data: []byte(data), Header: header})
	if err != nil {
		n.t.Fatal(err)
	}
	return ack.Sequence
}

// fill publishes many, with data of that size, round the users.
func (n *fetchNATS) fill(count, users, size int) {
	n.t.Helper()
	data := []byte(strings.Repeat("x", size))
	for i := range count {
		if _, err := n.js.PublishAsync(fmt.Sprintf("n.%d", i%users), data, jetstream.WithStallWait(time.Minute)); err != nil {
			n.t.Fatal(err)
		}
	}
	select {
	case <-n.js.PublishAsyncComplete():
	case <-time.After(5 * time.Minute):
		n.t.Fatal("not all were acknowledged")
	}
}

func (n *fetchNATS) after(seq uint64, max int) (seqs []uint64, more bool) {
	n.t.Helper()
	msgs, more, err := n.f.after(n.ctx(), "S", seq, max)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range msgs {
		seqs = append(seqs, m.seq)
	}
	return seqs, more
}

func expectSeqs(t *testing.T, what string, got []uint64, gotMore bool, want string, more bool) {
	t.Helper()
	if text := strings.Trim(fmt.Sprint(got), "[]"); text != want || gotMore != more {
		t.Errorf("%s: got %q, more %v; want %q, %v", what, text, gotMore, want, more)
	}
}

func TestFetchReadsWhatWasPublished(t *testing.T) {
	n := startFetchNATS(t)
	began := time.Now()
	n.publish("n.1", `{"a":1}`, nil)
	n.publish("n.2", "", nats.Header{"Nats-Msg-Id": {"x:7"}, "Nats-TTL": {"1h"}})
	msgs, more, err := n.f.after(n.ctx(), "S", 0, 500)
	if err != nil || more || len(msgs) != 2 {
		t.Fatalf("%d messages, more %v, %v", len(msgs), more, err)
	}
	a, b := msgs[0], msgs[1]
	if a.seq != 1 || a.subject != "n.1" || string(a.data) != `{"a":1}` || a.id != "" || a.expires != 0 || a.marker {
		t.Errorf("got %+v", a)
	}
	if at := time.Unix(0, a.time); at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("stored at %v", at)
	}
	if b.seq != 2 || b.subject != "n.2" || len(b.data) != 0 || b.id != "x:7" || b.expires != b.time+int64(time.Hour) {
		t.Errorf("got %+v", b)
	}
	same, err := n.f.leaderGet(n.ctx(), "S", 2)
	if err != nil || same.seq != b.seq || same.time != b.time || same.expires != b.expires || same.id != b.id || same.subject != b.subject {
		t.Errorf("the leader has %+v, %v; want %+v", same, err, b)
	}
}

func TestFetchPagesAndFindsTheEnd(t *testing.T) {
	n := startFetchNATS(t)
	seqs, more := n.after(0, 500)
	expectSeqs(t, "empty stream", seqs, more, "", false)
	n.fill(5, 2, 10)
	seqs, more = n.after(0, 3)
	expectSeqs(t, "part", seqs, more, "1 2 3", true)
	seqs, more = n.after(0, 5)
	expectSeqs(t, "exactly all", seqs, more, "1 2 3 4 5", false)
	seqs, more = n.after(3, 500)
	expectSeqs(t, "rest", seqs, more, "4 5", false)
	seqs, more = n.after(5, 500)
	expectSeqs(t, "behind the last", seqs, more, "", false)
	seqs, more = n.after(500, 500)
	expectSeqs(t, "far behind the last", seqs, more, "", false)
	seqs, more = n.after(4, 1)
	expectSeqs(t, "a batch of one", seqs, more, "5", false)
}

func TestFetchStepsOverHoles(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 2, 10)
	for _, seq := range []uint64{1, 4, 5, 10} {
		if err := n.stream.DeleteMsg(n.ctx(), seq); err != nil {
			t.Fatal(err)
		}
	}
	seqs, more := n.after(0, 500)
	expectSeqs(t, "holes", seqs, more, "2 3 6 7 8 9", false)
	seqs, more = n.after(3, 500)
	expectSeqs(t, "from a hole", seqs, more, "6 7 8 9", false)
	seqs, more = n.after(9, 500)
	expectSeqs(t, "a hole at the end", seqs, more, "", false)
	first, last, _, _, err := n.f.state(n.ctx(), "S")
	if err != nil || first != 2 || last != 10 {
		t.Errorf("first %d, last %d, %v", first, last, err)
	}
	if _, err := n.f.leaderGet(n.ctx(), "S", 4); !errors.Is(err, errGone) {
		t.Errorf("a deleted one: %v", err)
	}
	if m, err := n.f.leaderAfter(n.ctx(), "S", 3); err != nil || m.seq != 6 {
		t.Errorf("the leader's next: %d, %v", m.seq, err)
	}
	if _, err := n.f.leaderAfter(n.ctx(), "S", 9); !errors.Is(err, errGone) {
		t.Errorf("the leader's next behind the end: %v", err)
	}
}

func TestFetchAfterAPurge(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 2, 10)
	if err := n.stream.Purge(n.ctx(), jetstream.WithPurgeSequence(8)); err != nil {
		t.Fatal(err)
	}
	seqs, more := n.after(0, 500)
	expectSeqs(t, "purged in part", seqs, more, "8 9 10", false)
	if err := n.stream.Purge(n.ctx()); err != nil {
		t.Fatal(err)
	}
	seqs, more = n.after(0, 500)
	expectSeqs(t, "purged", seqs, more, "", false)
	first, last, created, meta, err := n.f.state(n.ctx(), "S")
	if err != nil || first != 11 || last != 10 || created.IsZero() || meta["belfry_epoch"] != "2" {
		t.Errorf("first %d, last %d, created %v, %v, %v", first, last, created, meta, err)
	}
}

func TestFetchDoesNotSeeWhatExpired(t *testing.T) {
	n := startFetchNATS(t)
	n.publish("n.1", "stays", nil)
	n.publish("n.1", "goes", nats.Header{"Nats-TTL": {"1s"}})
	n.publish("n.1", "stays too", nats.Header{"Nats-TTL": {"never"}})
	for end := time.Now().Add(fetchPatience); ; time.Sleep(20 * time.Millisecond) {
		seqs, more := n.after(0, 500)
		if len(seqs) == 2 && !more { // more, while NATS counted it and then did not find it
			expectSeqs(t, "expired", seqs, more, "1 3", false)
			return
		}
		if time.Now().After(end) {
			t.Fatal("a message with a TTL of a second does not expire")
		}
	}
}

func TestFetchEndsAtMaxBytesAndGoesOn(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(12, 1, 900_000)
	var all []uint64
	for questions := 1; ; questions++ {
		seqs, more := n.after(uint64(len(all)), 500)
		all = append(all, seqs...)
		if !more {
			if questions < 2 {
				t.Errorf("%d questions for 10.8 MB", questions)
			}
			break
		}
	}
	if len(all) != 12 {
		t.Errorf("got %v", all)
	}
}

func TestFetchOfOneSubject(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(10, 3, 10) // n.1 has 2, 5, 8
	msgs, more, err := n.f.afterOf(n.ctx(), "S", "n.1", 2, 1, 1<<20)
	if err != nil || !more || len(msgs) != 1 || msgs[0].seq != 5 {
		t.Errorf("%v, more %v, %v", msgs, more, err)
	}
	msgs, more, err = n.f.afterOf(n.ctx(), "S", "n.1", 0, 100, 1)
	if err != nil || !more || len(msgs) != 1 || msgs[0].seq != 2 {
		t.Errorf("a byte: %v, more %v, %v", msgs, more, err)
	}
	msgs, more, err = n.f.afterOf(n.ctx(), "S", "n.1", 8, 100, 1<<20)
	if err != nil || more || len(msgs) != 0 {
		t.Errorf("behind the last: %v, more %v, %v", msgs, more, err)
	}
	if m, err := n.f.nextOf(n.ctx(), "S", "n.1", 2); err != nil || m.seq != 5 || m.subject != "n.1" || m.time == 0 {
		t.Errorf("next: %+v, %v", m, err)
	}
	if _, err := n.f.nextOf(n.ctx(), "S", "n.1", 8); !errors.Is(err, errGone) {
		t.Errorf("next of the last: %v", err)
	}
	if _, err := n.f.nextOf(n.ctx(), "NONE", "n.1", 8); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("next in no stream: %v", err)
	}
	if m, err := n.f.leaderLast(n.ctx(), "S", "n.1"); err != nil || m.seq != 8 {
		t.Errorf("the leader's last: %d, %v", m.seq, err)
	}
	if _, err := n.f.leaderLast(n.ctx(), "S", "n.77"); !errors.Is(err, errGone) {
		t.Errorf("the leader's last of nothing: %v", err)
	}
}

// What a publisher writes into the headers must not move a sequence, end a
// batch, or pass for the server's word.
func TestFetchIsNotFooledByAPublishersHeaders(t *testing.T) {
	n := startFetchNATS(t)
	forged := nats.Header{
		headerSequence: {"999"}, headerSubject: {"n.9"}, headerLastSequence: {"7"}, headerNumPending: {"0"},
		headerTimeStamp: {"2001-01-01T00:00:00Z"}, headerStatus: {"404"}, "Description": {"Message Not Found"},
	}
	n.publish("n.1", "one", forged)
	n.publish("n.1", "two", nats.Header{headerStatus: {"204"}})
	n.publish("n.1", "three", nil)
	msgs, more, err := n.f.after(n.ctx(), "S", 0, 500)
	if err != nil || more || len(msgs) != 3 {
		t.Fatalf("%d messages, more %v, %v", len(msgs), more, err)
	}
	m := msgs[0]
	if m.seq != 1 || m.subject != "n.1" || string(m.data) != "one" || time.Unix(0, m.time).Year() < 2020 {
		t.Errorf("got %+v", m)
	}
}

func TestFetchSaysThatAStreamIsNotThere(t *testing.T) {
	n := startFetchNATS(t)
	if _, _, err := n.f.after(n.ctx(), "NONE", 0, 500); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("after: %v", err)
	}
	if _, _, _, _, err := n.f.state(n.ctx(), "NONE"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("state: %v", err)
	}
	if _, err := n.f.leaderAfter(n.ctx(), "NONE", 0); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("leader: %v", err)
	}
}

// Nobody answers until the second question.
func TestFetchAsksAgain(t *testing.T) {
	n := startFetchNATS(t)
	restore := askAgainAfter
	askAgainAfter = 50 * time.Millisecond
	defer func() { askAgainAfter = restore }()
	asked := 0
	if _, err := n.nc.Subscribe("fake.DIRECT.GET.S", func(m *nats.Msg) {
		asked++
		reply := func(seq, before int) {
			m.RespondMsg(&nats.Msg{Data: []byte("x"), Header: nats.Header{ //nolint:errcheck // the test fails by what is missing
				headerSequence: {fmt.Sprint(seq)}, headerLastSequence: {fmt.Sprint(before)}, headerTimeStamp: {"2025-01-01T00:00:00Z"}}})
		}
		switch asked {
		case 1: // nothing
		case 2: // the rest never comes, and 6 is lost on its way
			reply(4, 0)
			reply(5, 4)
			reply(7, 6)
		}
	}); err != nil {
		t.Fatal(err)
	}
	f, err := newFetcher(n.nc, "fake.")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	msgs, more, err := f.after(n.ctx(), "S", 3, 500)
	if err != nil || !more || len(msgs) != 2 || msgs[1].seq != 5 || asked != 2 {
		t.Errorf("%d messages, more %v, %v, asked %d times", len(msgs), more, err, asked)
	}
}

func TestFetchEnds(t *testing.T) {
	n := startFetchNATS(t)
	if _, err := n.nc.SubscribeSync("silent.>"); err != nil {
		t.Fatal(err)
	}
	f, err := newFetcher(n.nc, "silent.")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := f.after(ctx, "S", 0, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, _, err := f.after(n.ctx(), "S", 0, 1)
		ended <- err
	}()
	for { // until it has asked
		f.mu.Lock()
		asked := len(f.asks)
		f.mu.Unlock()
		if asked > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	f.close()
	if err := <-ended; !errors.Is(err, errClosed) {
		t.Errorf("closed meanwhile: %v", err)
	}
	if _, _, err := f.after(n.ctx(), "S", 0, 1); !errors.Is(err, errClosed) {
		t.Errorf("closed before: %v", err)
	}
}

func TestFetchWhileNATSIsAway(t *testing.T) {
	n := startFetchNATS(t)
	n.fill(3, 1, 10)
	port, dir := n.server.Addr().String(), n.server.StoreDir()
	n.server.Shutdown()
	n.server.WaitForShutdown()
	for n.nc.IsConnected() {
		time.Sleep(time.Millisecond)
	}
	if _, _, err := n.f.after(n.ctx(), "S", 0, 1); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	var number int
	if _, err := fmt.Sscanf(port[strings.LastIndex(port, ":"):], ":%d", &number); err != nil {
		t.Fatal(err)
	}
	fetchServer(t, strings.TrimSuffix(dir, "/jetstream"), number)
	for !n.nc.IsConnected() {
		time.Sleep(time.Millisecond)
	}
	seqs, more := n.after(0, 500)
	expectSeqs(t, "back", seqs, more, "1 2 3", false)
}

func TestParseTTLAsTheServerDoes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "never": 0, "Never": 0, "5": 5 * time.Second, "1500ms": time.Second, "1h": time.Hour, "soon": 0, "-3": 0,
		"99999999999999999": 0,
	} {
		if got := parseTTL(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
