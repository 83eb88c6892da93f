package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/subject"
)

// cursorPatienceInTests is how long a test waits for what should come at once.
const cursorPatienceInTests = 15 * time.Second

func cursorLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(cursorLogTo{t}, nil))
}

type cursorLogTo struct{ t testing.TB }

func (l cursorLogTo) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// cursorBus is an embedded NATS with its streams.
func cursorBus(t testing.TB) *bus.Bus {
	t.Helper()
	o := config.Default()
	o.NATS.Listen = "127.0.0.1:0"
	o.Data = t.TempDir()
	return cursorBusWith(t, o)
}

func cursorBusWith(t testing.TB, o config.Options) *bus.Bus {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, err := bus.Start(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	cursorEventually(t, "the streams are there", func() bool { return b.EnsureStreams(context.Background()) == nil })
	return b
}

// A cursorGateway is the Cursors of one gateway, with a clock of its own that
// stands still. It has no goroutine: the test calls step.
type cursorGateway struct {
	*Cursors
	t   testing.TB
	bus *bus.Bus

	clock sync.Mutex
	time  time.Time
}

var cursorEpoch0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func cursorsOn(t testing.TB, b *bus.Bus) *cursorGateway {
	t.Helper()
	g := &cursorGateway{Cursors: makeCursors(newCursorStore(b, ""), b.Names(), cursorLog(t)), t: t, bus: b, time: cursorEpoch0}
	g.now = func() time.Time {
		g.clock.Lock()
		defer g.clock.Unlock()
		return g.time
	}
	g.date = g.now
	g.away = func() bool { _, away := b.Away(); return away }
	g.ensure = func(ctx context.Context) error {
		return g.store.ensure(ctx, b.JetStream(), b.Names().Notifications(), "create")
	}
	if err := g.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	return g
}

// lossy has replies lost: those for which lose returns true come as a timeout.
func (g *cursorGateway) lossy(lose func(subject string) bool) {
	g.store.request = func(m *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) func() bool {
		return g.bus.Request(m, timeout, func(reply *nats.Msg, err error) {
			if lose(m.Subject) {
				reply, err = nil, bus.ErrTimeout
			}
			done(reply, err)
		})
	}
}

func (g *cursorGateway) pass(d time.Duration) {
	g.clock.Lock()
	g.time = g.time.Add(d)
	g.clock.Unlock()
}

// write writes what is due now, and waits for it.
func (g *cursorGateway) write() {
	g.t.Helper()
	g.step()
	cursorEventually(g.t, "what is due is written", func() bool {
		g.step()
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.writes.running == 0 && g.writes.puts == 0 && g.writes.now.len() == 0
	})
}

type cursorAnswer struct {
	seq   uint64
	found bool
	epoch string
	c     *cursor
	err   error
}

func (g *cursorGateway) open(user, device string, tickets bool) cursorAnswer {
	g.t.Helper()
	a := <-g.openSoon(user, device, "e1", tickets)
	if a.err != nil {
		g.t.Fatal(a.err)
	}
	return a
}

// openIn is for a connection that may start as late as it likes.
func openIn(epoch string) position.Mark { return position.Mark{Epoch: epoch, Seq: math.MaxUint64} }

func (g *cursorGateway) openSoon(user, device, epoch string, tickets bool) chan cursorAnswer {
	got := make(chan cursorAnswer, 1)
	g.Open(user, device, openIn(epoch), tickets, func(seq uint64, found bool, epoch string, c hub.Cursor, err error) {
		own, _ := c.(*cursor)
		got <- cursorAnswer{seq, found, epoch, own, err}
	})
	return got
}

// begun opens a connection of a user of whom nothing is known, and has it
// start.
func (g *cursorGateway) begun(user string, seq uint64) *cursor {
	g.t.Helper()
	a := g.open(user, "", true)
	if a.found {
		g.t.Fatalf("%s: found %+v", user, a)
	}
	a.c.Reset(position.Mark{Epoch: "e1", Seq: seq})
	return a.c
}

// has is what the bucket has under a key, "" for no record.
func (g *cursorGateway) has(key string) string {
	g.t.Helper()
	got := make(chan string, 1)
	newCursorStore(g.bus, "").getFromLeader(key, func(s storedCursor, err error) {
		switch {
		case err != nil:
			got <- err.Error()
		case !s.found:
			got <- ""
		default:
			got <- string(s.encode())
		}
	})
	return <-got
}

func (g *cursorGateway) expect(key, want string) {
	g.t.Helper()
	if got := g.has(key); got != want {
		g.t.Errorf("%s is %s, want %s", key, got, want)
	}
}

func (g *cursorGateway) set(key string, r record) {
	g.t.Helper()
	kv, err := g.bus.JetStream().KeyValue(context.Background(), g.names.Cursors())
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := kv.Put(context.Background(), key, r.encode()); err != nil {
		g.t.Fatal(err)
	}
}

// plain is a record as text; tickets are their sequences, all of them left at
// the clock's time.
func (g *cursorGateway) plain(epoch string, seq uint64, tickets ...uint64) string {
	r := record{epoch: epoch, seq: seq}
	for _, s := range tickets {
		r.tickets = append(r.tickets, newTicket(s, g.now()))
	}
	return string(r.encode())
}

func cursorEventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(cursorPatienceInTests); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", cursorPatienceInTests, what)
		}
	}
}

func TestCursorIsWrittenAfterFiveSecondsOrOnClose(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	c := g.begun("42", 100)
	c.Sent(110)
	c.Confirm(110)
	g.write()
	g.expect("42", "")
	g.pass(cursorEvery)
	g.write()
	g.expect("42", g.plain("e1", 110))

	c.Confirm(105) // less than before
	c.Confirm(120)
	g.pass(cursorEvery - 1)
	g.write()
	g.expect("42", g.plain("e1", 110))
	c.Close()
	c.Close()
	c.Confirm(130) // after its end
	g.write()
	g.expect("42", g.plain("e1", 120))
	if n := len(g.table); n != 0 || g.Stats().Users != 0 || g.Stats().Dirty != 0 {
		t.Errorf("%d users are left: %+v", n, g.Stats())
	}
	if a := g.open("42", "", true); a.seq != 120 || !a.found || a.epoch != "e1" {
		t.Errorf("the next one starts at %+v", a)
	}
	if s := g.Stats(); s.Writes != 2 || s.TicketsMade != 0 || s.Conflicts != 0 || s.Failures != 0 {
		t.Errorf("counted %+v", s)
	}
}

func TestCursorsOfDevicesAndOddUsers(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	for i, who := range []struct{ user, device, key string }{
		{"a.b@c.d", "", "=YS5iQGMuZA"}, {"a.b@c.d", "phone", "=YS5iQGMuZA.phone"}, {"a", "b", "a.b"},
	} {
		a := g.open(who.user, who.device, true)
		a.c.Reset(position.Mark{Epoch: "e1", Seq: uint64(i) + 10})
		a.c.Close()
		g.write()
		g.expect(who.key, g.plain("e1", uint64(i)+10))
	}
	for _, who := range [][2]string{{"", ""}, {"a", "b.c"}} {
		if a := <-g.openSoon(who[0], who[1], "e1", true); !errors.Is(a.err, subject.ErrID) || a.c != nil {
			t.Errorf("%q: %+v", who, a)
		}
	}
}

// The record is what other gateways and other versions read.
func TestCursorRecordAsSpecified(t *testing.T) {
	r := record{epoch: "c1x9.2", seq: 1 << 60, tickets: []ticket{{490, 1767225600}}}
	const want = `{"v":1,"epoch":"c1x9.2","seq":1152921504606846976,"tickets":[{"seq":490,"until":1767225600}]}`
	if got := string(r.encode()); got != want {
		t.Errorf("encoded %s", got)
	}
	if back, err := decodeRecord([]byte(want)); err != nil || fmt.Sprint(back) != fmt.Sprint(r) {
		t.Errorf("decoded %+v, %v", back, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"v":2,"epoch":"a","seq":1}`, `{"v":1,"epoch":"A B","seq":1}`, `{"v":1,"epoch":"a","seq":-1}`, `{"v":1,"seq":1}`} {
		if r, err := decodeRecord([]byte(bad)); !errors.Is(err, errRecord) {
			t.Errorf("%s: %+v, %v", bad, r, err)
		}
	}
}

func TestCursorRecordThatCannotBeReadIsNone(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	kv, err := g.bus.JetStream().KeyValue(context.Background(), g.names.Cursors())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(context.Background(), "42", `{"v":2}`); err != nil {
		t.Fatal(err)
	}
	c := g.begun("42", 7)
	c.Close()
	g.write()
	g.expect("42", g.plain("e1", 7))
	if err := kv.Delete(context.Background(), "42"); err != nil { // by hand
		t.Fatal(err)
	}
	c = g.begun("42", 9)
	c.Close()
	g.write()
	g.expect("42", g.plain("e1", 9))
	if s := g.Stats(); s.Malformed != 1 {
		t.Errorf("counted %+v", s)
	}
}

// A user with several connections, some through another gateway: the highest
// counts, whoever is first to write.
func TestCursorsMergeTheHighest(t *testing.T) {
	b := cursorBus(t)
	g1, g2 := cursorsOn(t, b), cursorsOn(t, b)
	first := g1.begun("42", 100)
	g1.pass(cursorEvery)
	g1.write()
	second, third := g2.open("42", "", true), g2.open("42", "", true)
	if second.seq != 100 || third.seq != 100 {
		t.Errorf("started at %d and %d", second.seq, third.seq)
	}
	first.Confirm(120)
	second.c.Confirm(130)
	third.c.Confirm(125)
	g2.pass(cursorEvery)
	g2.write()
	g1.pass(cursorEvery)
	g1.write() // finds that it is behind, and has nothing to write
	g1.expect("42", g1.plain("e1", 130))
	first.Confirm(140)
	g1.pass(cursorEvery)
	g1.write()
	third.c.Confirm(135)
	g2.pass(cursorEvery)
	g2.write()
	g1.expect("42", g1.plain("e1", 140))
	if s1, s2 := g1.Stats(), g2.Stats(); s1.Conflicts != 1 || s2.Conflicts != 1 {
		t.Errorf("conflicts: %d and %d", s1.Conflicts, s2.Conflicts)
	}
}

// TestCursorStartsWhereItWasLetIn: a connection has not got what its user's others
// got since, and a ticket says so.
func TestCursorStartsWhereItWasLetIn(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	letIn := func(from uint64) cursorAnswer {
		got := make(chan cursorAnswer, 1)
		g.Open("42", "", position.Mark{Epoch: "e1", Seq: from}, true, func(seq uint64, found bool, epoch string, c hub.Cursor, err error) {
			got <- cursorAnswer{seq, found, epoch, c.(*cursor), err}
		})
		return <-got
	}
	first := g.begun("42", 100)
	first.Confirm(120)
	second := letIn(110)
	if second.seq != 110 || !second.found {
		t.Fatalf("it starts at %d, found %v", second.seq, second.found)
	}
	second.c.Close()
	if third := letIn(105); third.seq != 105 {
		t.Errorf("the next one takes its ticket, and starts at %d", third.seq)
	}
	if fourth := letIn(130); fourth.seq != 120 {
		t.Errorf("one that may start later starts at %d", fourth.seq)
	}
}

// The epoch is part of what a sequence means.
func TestCursorOfAnotherEpoch(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	g.set("42", record{"e0", 5000, []ticket{newTicket(4000, g.now())}})
	a := g.open("42", "", true)
	if !a.found || a.epoch != "e0" || a.seq != 5000 {
		t.Fatalf("started at %+v", a)
	}
	a.c.Close() // was never told where it starts: changes nothing
	g.write()
	g.expect("42", g.plain("e0", 5000, 4000))

	a = g.open("42", "", true)
	a.c.Reset(position.Mark{Epoch: "e1", Seq: 3})
	a.c.Confirm(5)
	g.pass(cursorEvery)
	g.write()
	g.expect("42", g.plain("e1", 5))

	// Under a running gateway.
	old := g.open("42", "", true)
	old.c.Confirm(8)
	a.c.Reset(position.Mark{Epoch: "e2", Seq: 1})
	old.c.Confirm(1000) // was sent in the old epoch
	a.c.Sent(2)
	a.c.Confirm(2)
	old.c.Close()
	g.write()
	g.expect("42", g.plain("e2", 2))
	if s := g.Stats(); s.Stale != 1 {
		t.Errorf("counted %+v", s)
	}
}

// A connection that ends in quiet leaves a record that moved on with the
// stream, and no ticket; one of which something may be outstanding does not.
func TestCursorMovesOnWithTheStream(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	upTo, known := position.Mark{Epoch: "e1", Seq: 5000}, true
	g.quiet = func(channel string, after uint64) (position.Mark, bool) {
		if channel != "#a@b" && channel != "#x" {
			t.Errorf("asked for %s", channel)
		}
		return upTo, known
	}
	c := g.begun("a@b", 100)
	c.Close()
	g.write()
	g.expect("=YUBi", g.plain("e1", 5000))

	c = g.begun("x", 100)
	c.Sent(101)
	c.Close()
	g.write()
	g.expect("x", g.plain("e1", 100, 100))

	upTo.Epoch = "e2"
	c = g.open("a@b", "", true).c
	c.Close()
	upTo, known = position.Mark{Epoch: "e1", Seq: 9000}, false
	c = g.open("a@b", "", true).c
	c.Close()
	g.write()
	g.expect("=YUBi", g.plain("e1", 5000))
}

// A connection under which the epoch changes has no more than it had before,
// even where the new one begins with all that it was sent: a stream that was
// restored from a copy of just now, say.
func TestCursorAndAnEpochWithASharedHistory(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	c := g.begun("1", 100)
	c.Confirm(110)
	c.Sent(150)
	c.Reset(position.Mark{Epoch: "e2", Seq: 140})
	c.Break() // it had lost its line before
	g.step()
	g.write()
	g.expect("1", g.plain("e2", 110, 110))
}
