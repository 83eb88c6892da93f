package journal

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
)

func (w *world) resolve(j *Journal, q hub.Query) hub.Start {
	w.t.Helper()
	came := make(chan hub.Start, 2)
	j.Resolve(q, func(s hub.Start) { came <- s })
	select {
	case s := <-came:
		return s
	case <-time.After(patience):
		w.t.Fatalf("%+v is not resolved", q)
	}
	return hub.Start{}
}

func at(s position.Stream, epoch string, seq uint64) string {
	return position.Position{}.With(s, position.Mark{Epoch: epoch, Seq: seq}).String()
}

func TestResolvePositions(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(20, "x")
	news := w.publish("news", "y")
	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(4) {
		if err := stream.DeleteMsg(w.ctx(), seq+1); err != nil { // 5 is the first
			t.Fatal(err)
		}
	}
	w.reaches(h, notifications, last.Position.Get(notifications))
	w.reaches(h, position.Channels, news.Position.Get(position.Channels))
	w.eventually("the first sequence is known", func() bool { return j.Stats().Streams[0].First == 5 })
	n := func(seq uint64) string { return at(notifications, last.Epoch, seq) }
	c := func(seq uint64) string { return at(position.Channels, news.Epoch, seq) }
	for name, test := range map[string]struct {
		channels, brought, start string
		at                       string
		resets                   string
	}{
		"current":                  {"#1", n(20), "", n(20), ""},
		"behind":                   {"#1", n(7), "", n(7), ""},
		"just retained":            {"#1", n(4), "", n(4), ""},
		"expired":                  {"#1", n(3), "", n(4), "1 expired"},
		"ahead":                    {"#1", n(21), "", n(4), "1 ahead"},
		"another epoch":            {"#1", at(notifications, "abc", 20), "", n(4), "1 epoch"},
		"rotated":                  {"#1", at(notifications, last.Epoch+".2", 20), "", n(4), "1 epoch"},
		"malformed":                {"#1", "garbage", "now", n(20), "1 malformed"},
		"malformed, of two":        {"#1 news", "n-", "now", n(20) + "_" + c(1), "1 malformed"},
		"of two":                   {"#1 news", n(7) + "_" + c(0), "", n(7) + "_" + c(0), ""},
		"of another stream":        {"news", n(7), "", c(1), ""},
		"a part is missing":        {"#1 news", c(0), "all", n(4) + "_" + c(0), ""},
		"none, now":                {"#1 news", "-", "now", n(20) + "_" + c(1), ""},
		"none, all":                {"#1 news", "-", "all", n(4) + "_" + c(0), ""},
		"none, another's channel":  {"#43", "-", "", n(20), ""},
		"none, no record":          {"#1", "-", "", n(4), ""},
		"none, cursor for a topic": {"news", "-", "cursor", c(1), ""},
		"both are wrong":           {"#1 news", n(21) + "_" + at(position.Channels, "x", 1), "", n(4) + "_" + c(0), "1 ahead 2 epoch"},
	} {
		t.Run(name, func(t *testing.T) {
			q := hub.Query{User: "1", Channels: strings.Fields(test.channels), Position: test.brought, HasPosition: test.brought != "-", Start: test.start}
			s := w.resolve(j, q)
			var resets []string
			for _, r := range s.Resets {
				resets = append(resets, fmt.Sprint(uint8(r.Stream), " ", r.Why))
			}
			if s.Err != nil || s.At.String() != test.at || strings.Join(resets, " ") != test.resets {
				t.Errorf("at %q, resets %q, %v\nwant %q, %q", s.At, resets, s.Err, test.at, test.resets)
			}
		})
	}
	if got := j.Stats().Resets; got[hub.ResetAhead] != 2 || got[hub.ResetExpired] != 1 || got[hub.ResetEpoch] != 3 || got[hub.ResetMalformed] != 2 {
		t.Errorf("counted %v", got)
	}
}

// TestResolveBeforeTheGatewayKnows: another gateway was quicker, with what was
// published or with another epoch; that is no reset.
func TestResolveBeforeTheGatewayKnows(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(3, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	epoch, err := Rotate(w.ctx(), w.backend, w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	q := hub.Query{User: "1", Channels: []string{"#1"}, Position: at(notifications, epoch, 2), HasPosition: true}
	if s := w.resolve(j, q); s.Err != nil || s.At.String() != q.Position || len(s.Resets) > 0 {
		t.Errorf("%+v", s)
	}
	for range 50 {
		r := w.publish("#1", "y")
		q.Position = r.Position.String()
		if s := w.resolve(j, q); s.Err != nil || s.At != r.Position || len(s.Resets) > 0 {
			t.Fatalf("%v: %+v", r.Position, s)
		}
	}
}

// TestResolveMany: the leader is asked once for all who wait.
func TestResolveMany(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(3, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	var all sync.WaitGroup
	const n = 2000
	all.Add(n)
	began := time.Now()
	for range n {
		q := hub.Query{User: "1", Channels: []string{"#1"}, Position: at(notifications, last.Epoch, 99), HasPosition: true}
		go j.Resolve(q, func(s hub.Start) {
			if s.Err != nil || len(s.Resets) != 1 {
				t.Errorf("%+v", s)
			}
			all.Done()
		})
	}
	all.Wait()
	t.Logf("%d in %v", n, time.Since(began))
}

func TestResolveEnds(t *testing.T) {
	w := newWorld(t)
	j, err := New(w.bus(), &recorder{t: t}, w.o, w.log)
	if err != nil {
		t.Fatal(err)
	}
	q := hub.Query{User: "1", Channels: []string{"#1"}, Start: "now"}
	if s := w.resolve(j, q); s.Err == nil {
		t.Error("resolved before it was started")
	}
	if err := j.Start(w.ctx()); err != nil {
		t.Fatal(err)
	}
	if s := w.resolve(j, q); s.Err != nil {
		t.Error(s.Err)
	}
	w.down()
	q.Position, q.HasPosition = at(notifications, "other", 1), true
	came := make(chan hub.Start, 1)
	j.Resolve(q, func(s hub.Start) { came <- s })
	j.Close()
	j.Close()
	if s := <-came; s.Err == nil {
		t.Error("judged without NATS")
	}
	if s := w.resolve(j, q); s.Err == nil {
		t.Error("resolved after Close")
	}
}

// TestNewest: the first time a user comes at most replay.max are replayed.
func TestNewest(t *testing.T) {
	w := newWorld(t)
	w.o.Replay.Max = 4
	const odd, total = 6, 60 // of one user whose headers can't be read, and of three in turn
	for range odd {
		publishRaw(t, w.backend.Conn(), w.o.NATS.Prefix+".notification.odd", unreadable["no colon"], "x")
	}
	last := w.publishMany(total, "x")
	for name, entries := range map[string]int{"from the ring": 1000, "from ring and stream": 5} {
		t.Run(name, func(t *testing.T) {
			b := w.bus()
			h := &recorder{t: t}
			j, err := newJournal(b, h, w.o, w.log, w.pace, sources(b.Names()))
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			j.sequencers[0].ring = newRing(notifications, entries, ringBytes)
			if err := j.Start(w.ctx()); err != nil {
				t.Fatal(err)
			}
			if low := j.sequencers[0].ring.low(); (low > 0) != (entries < total) {
				t.Fatalf("the ring's low end is %d", low)
			}
			if s := w.resolve(j, hub.Query{User: "odd", Channels: []string{"#odd"}}); s.Err != nil || s.At.Get(notifications).Seq != odd-4 {
				t.Errorf("the user of unreadable headers: %+v", s)
			}
			for _, user := range []string{"0", "1", "2", "none"} {
				s := w.resolve(j, hub.Query{User: user, Channels: []string{"#" + user}})
				at, left := s.At.Get(notifications).Seq, 0
				for seq := at + 1; seq <= last.Seq; seq++ {
					if seq > odd && fmt.Sprint((seq-1-odd)%3) == user {
						left++
					}
				}
				if s.Err != nil || user != "none" && left != 4 || user == "none" && at != 0 {
					t.Errorf("user %s starts behind %d, where %d are left: %v", user, at, left, s.Err)
				}
			}
			if running := j.searches.running; running != 0 {
				t.Errorf("%d searches are not over", running)
			}
		})
	}
}

func TestResolveCursor(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	last := w.publishMany(9, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	q := hub.Query{User: "1", Channels: []string{"#1"}, Confirms: true, Tickets: true}
	s := w.resolve(j, q)
	if s.Err != nil || s.Cursor == nil || s.At.Get(notifications).Seq != 0 {
		t.Fatalf("%+v", s)
	}
	s.Cursor.Sent(8)
	s.Cursor.Confirm(8)
	s.Cursor.Close()
	if err := j.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}
	if s = w.resolve(j, q); s.Err != nil || s.At.Get(notifications).Seq < 8 || len(s.Resets) > 0 {
		t.Fatalf("%+v", s)
	}
	s.Cursor.Close()
	// Another gateway, another epoch: what was delivered is not known any more.
	epoch, err := Rotate(w.ctx(), w.backend, w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(h, notifications, position.Mark{Epoch: epoch, Seq: last.Seq})
	other, _ := w.gateway()
	if s = w.resolve(other, q); s.Err != nil || s.At != (position.Position{}.With(notifications, position.Mark{Epoch: epoch})) ||
		len(s.Resets) != 1 || s.Resets[0].Why != hub.ResetEpoch {
		t.Fatalf("%+v", s)
	}
	s.Cursor.Confirm(9)
	s.Cursor.Close()
	if err := other.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}
	// A position that comes back is a confirmation, and needs no cursor to start.
	q.Position, q.HasPosition, q.Tickets = at(notifications, epoch, 5), true, false
	if s = w.resolve(j, q); s.Err != nil || s.At.Get(notifications).Seq != 5 || s.Cursor == nil {
		t.Fatalf("%+v", s)
	}
	s.Cursor.Close()
}

// TestResolveWhileOthersReceive: what is published after a client was let in is
// its own, though the user's other connection has it before it is known where the
// client starts.
func TestResolveWhileOthersReceive(t *testing.T) {
	w := newWorld(t)
	w.o.Replay.Max = 0 // who is unknown starts at the end
	j, h := w.gateway()
	before, news := w.publish("#1", "before"), w.publish("news", "before")
	w.reaches(h, notifications, before.Position.Get(notifications))
	w.reaches(h, position.Channels, news.Position.Get(position.Channels))
	first := w.resolve(j, hub.Query{User: "1", Channels: []string{"#1"}, Confirms: true, Tickets: true})
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	first.Cursor.Confirm(before.Seq)

	open, held := j.open, make(chan struct{})
	j.open = func(user, device string, from position.Mark, tickets bool, done func(uint64, bool, string, hub.Cursor, error)) {
		go func() {
			<-held
			open(user, device, from, tickets, done)
		}()
	}
	came := make(chan hub.Start, 4)
	ask := func(user string, tickets bool, from position.Position) {
		q := hub.Query{User: user, Channels: []string{"#" + user, "news"}, Confirms: true, Tickets: tickets, From: from}
		j.Resolve(q, func(s hub.Start) { came <- s })
	}
	letIn := h.position()
	ask("1", true, position.Position{})
	ask("1", false, position.Position{})
	ask("2", true, position.Position{})
	last := w.publish("news", "after")
	after := w.publish("#1", "after")
	w.reaches(h, notifications, after.Position.Get(notifications))
	w.reaches(h, position.Channels, last.Position.Get(position.Channels))
	first.Cursor.Confirm(after.Seq)
	ask("1", true, letIn) // let in before, and heard late
	close(held)
	for range 4 {
		select {
		case s := <-came:
			if s.Err != nil || s.At != letIn {
				t.Errorf("starts at %v, %v: it was let in at %v", s.At, s.Err, letIn)
			}
		case <-time.After(patience):
			t.Fatal("not resolved")
		}
	}
}

// Another gateway has seen a new epoch before this one, and written a user's
// record in it: it is taken for what it is, tickets and all.
func TestResolveByARecordOfAnEpochNotSeenYet(t *testing.T) {
	w := newWorld(t)
	w.pace.check = time.Hour
	behind, h := w.gateway()
	last := w.publishMany(60, "x")
	w.reaches(h, notifications, last.Position.Get(notifications))
	epoch, err := Rotate(w.ctx(), w.backend, w.backend.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	ahead, _ := w.gateway()
	q := hub.Query{User: "1", Channels: []string{"#1"}, Confirms: true, Tickets: true}
	q.Position, q.HasPosition = at(notifications, epoch, 30), true
	w.resolve(ahead, q).Cursor.Close()
	q.Position, q.HasPosition = "", false
	s := w.resolve(ahead, q)
	s.Cursor.Sent(35)
	s.Cursor.Break() // leaves a ticket
	s = w.resolve(ahead, hub.Query{User: "1", Channels: []string{"#1"}, Confirms: true})
	s.Cursor.Confirm(40)
	s.Cursor.Close()
	if err := ahead.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}

	if s = w.resolve(behind, q); s.Err != nil || s.At.Get(notifications) != (position.Mark{Epoch: epoch, Seq: 30}) || len(s.Resets) > 0 {
		t.Fatalf("%+v", s)
	}
	s.Cursor.Sent(45)
	s.Cursor.Confirm(45)
	s.Cursor.Close()
	if err := behind.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}
	if s = w.resolve(ahead, q); s.Err != nil || s.At.Get(notifications).Seq < 45 || len(s.Resets) > 0 {
		t.Errorf("%+v", s)
	}
	s.Cursor.Close()
}
