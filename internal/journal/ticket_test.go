package journal

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"belfry/internal/position"
)

func TestTicketsInOrder(t *testing.T) {
	now := time.Unix(1000, 0)
	all := []ticket{{5, 1300}, {9, 1000}, {4, 1300}, {7, 1001}}
	if got := ticketsAlive(all, now); !reflect.DeepEqual(got, []ticket{{7, 1001}, {4, 1300}, {5, 1300}}) {
		t.Errorf("alive: %v", got)
	}
	all = nil
	for i := range uint64(ticketsMax + 2) {
		all = append(all, ticket{100 - i, 1300})
	}
	kept, dropped := ticketsBounded(all)
	if dropped != 2 || len(kept) != ticketsMax || slices.Contains(kept, ticket{100, 1300}) || slices.Contains(kept, ticket{99, 1300}) {
		t.Errorf("kept %v, dropped %d", kept, dropped)
	}
}

// Two tabs and a phone: one tab is cut, the others receive 20; it gets those
// 20 when it is back, and the next one does not.
func TestTicketOfATabThatWasCut(t *testing.T) {
	b := cursorBus(t)
	g1, g2 := cursorsOn(t, b), cursorsOn(t, b)
	cut := g1.begun("42", 100)
	g1.pass(cursorEvery)
	g1.write()
	tab, phone := g1.open("42", "", true), g2.open("42", "", true)
	cut.Sent(103) // lost with the line
	for seq := uint64(101); seq <= 120; seq++ {
		tab.c.Sent(seq)
		tab.c.Confirm(seq)
		phone.c.Sent(seq)
		phone.c.Confirm(seq)
	}
	g2.pass(cursorEvery)
	g2.write()
	cut.Close()
	g1.write()
	g1.expect("42", g1.plain("e1", 120, 100))
	back := g2.open("42", "", true)
	if back.seq != 100 {
		t.Errorf("it came back to %d", back.seq)
	}
	g1.expect("42", g1.plain("e1", 120))
	if next := g1.open("42", "", true); next.seq != 120 {
		t.Errorf("the next one started at %d", next.seq)
	}
	// It breaks off again on its way.
	back.c.Sent(110)
	back.c.Confirm(105)
	back.c.Close()
	g2.write()
	g2.expect("42", g2.plain("e1", 120, 105))
	if s1, s2 := g1.Stats(), g2.Stats(); s1.TicketsMade != 1 || s2.TicketsMade != 1 || s2.TicketsTaken != 1 {
		t.Errorf("counted %+v, %+v", s1, s2)
	}
}

func TestTicketWhen(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(*cursor)
		tickets []uint64
	}{
		"it has everything":         {func(c *cursor) { c.Close() }, nil},
		"it has everything, broken": {func(c *cursor) { c.Break() }, []uint64{100}},
		"unconfirmed":               {func(c *cursor) { c.Sent(101); c.Close() }, []uint64{100}},
		"confirmed":                 {func(c *cursor) { c.Sent(101); c.Confirm(101); c.Close() }, nil},
		"in part":                   {func(c *cursor) { c.Sent(105); c.Confirm(103); c.Close() }, []uint64{103}},
		"went back":                 {func(c *cursor) { c.Reset(position.Mark{Epoch: "e1", Seq: 50}); c.Close() }, []uint64{50}},
		"dialect with positions":    {func(c *cursor) { c.tickets = false; c.Sent(101); c.Close() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := cursorsOn(t, cursorBus(t))
			seq := uint64(100)
			if name == "confirmed" {
				seq = 101
			} else if name == "in part" {
				seq = 103
			}
			c.end(g.begun("42", 100))
			g.write()
			g.expect("42", g.plain("e1", seq, c.tickets...))
		})
	}
}

// Only the bucket knows that another gateway's connection has more.
func TestTicketThatWasNotSure(t *testing.T) {
	b := cursorBus(t)
	g1, g2 := cursorsOn(t, b), cursorsOn(t, b)
	c := g1.begun("42", 100)
	g1.pass(cursorEvery)
	g1.write()
	c.Confirm(101)
	g2.set("42", record{"e1", 120, nil})
	c.Close()
	g1.write()
	g1.expect("42", g1.plain("e1", 120, 101))
	if len(g1.table) != 0 {
		t.Error("the entry is still there")
	}
}

func TestTicketsExpire(t *testing.T) {
	g := cursorsOn(t, cursorBus(t))
	c := g.begun("42", 100)
	c.Sent(101)
	c.Close()
	g.write()
	g.pass(ticketLife - time.Second)
	a := g.open("42", "", true)
	if a.seq != 100 {
		t.Errorf("started at %d", a.seq)
	}
	a.c.Confirm(200)
	b := g.open("42", "", true)
	b.c.Reset(position.Mark{Epoch: "e1", Seq: 150})
	b.c.Close()
	g.write()
	g.expect("42", g.plain("e1", 200, 150))
	g.pass(ticketLife)
	if late := g.open("42", "", true); late.seq != 200 {
		t.Errorf("started at %d", late.seq)
	}
	a.c.Confirm(201)
	a.c.Close()
	g.write()
	g.expect("42", g.plain("e1", 201))
	if s := g.Stats(); s.TicketsExpired != 1 || s.TicketsTaken != 1 {
		t.Errorf("counted %+v", s)
	}
}

// Many connections come back at once, through three gateways: each ticket goes
// to one of them, the others start behind what is confirmed.
func TestTicketsAreTakenOnce(t *testing.T) {
	b := cursorBus(t)
	gates := []*cursorGateway{cursorsOn(t, b), cursorsOn(t, b), cursorsOn(t, b)}
	for round := range 20 {
		user := fmt.Sprint("u", round)
		var r record
		r.epoch, r.seq = "e1", 1000
		for i := range uint64(10) {
			r.tickets = append(r.tickets, newTicket(100+i, gates[0].now()))
		}
		gates[0].set(user, r)
		var all []chan cursorAnswer
		for i := range 15 {
			all = append(all, gates[i%3].openSoon(user, "", "e1", true))
		}
		got := map[uint64]int{}
		for _, one := range all {
			a := <-one
			if a.err != nil {
				t.Fatal(a.err)
			}
			got[a.seq]++
		}
		for i := range uint64(10) {
			if got[100+i] != 1 {
				t.Errorf("round %d: ticket %d was taken %d times", round, 100+i, got[100+i])
			}
		}
		if got[1000] != 5 {
			t.Errorf("round %d: %d started behind what is confirmed", round, got[1000])
		}
	}
	if s := gates[0].Stats(); s.TicketsTaken == 0 {
		t.Errorf("counted %+v", s)
	}
}

// Where the epoch changes, a ticket goes on to stand for what its connection
// lacks: of the new history everything but what both have.
func TestTicketsAcrossAChangeOfEpoch(t *testing.T) {
	for shared, want := range map[uint64]uint64{1000: 90, 60: 60, 0: 0} {
		for _, when := range []string{"stored", "unstored", "broken behind it"} {
			t.Run(fmt.Sprint(when, ", ", shared), func(t *testing.T) {
				b := cursorBus(t)
				g, other := cursorsOn(t, b), cursorsOn(t, b)
				stays, goes := g.begun("42", 100), g.open("42", "", true).c
				goes.Reset(position.Mark{Epoch: "e1", Seq: 90})
				m := position.Mark{Epoch: "e2", Seq: shared}
				g.follows("e1", m)
				other.follows("e1", m)
				switch when {
				case "stored":
					goes.Break()
					g.write()
					g.expect("42", g.plain("e1", 100, 90))
					stays.Reset(m)
				case "unstored":
					goes.Break()
					stays.Reset(m)
				default:
					stays.Reset(m)
					goes.Break()
				}
				stays.Confirm(shared + 7)
				stored := g.plain("e2", shared+7, want)
				g.pass(cursorEvery)
				g.write()
				g.expect("42", stored)
				if a := <-other.openSoon("42", "", "e2", true); a.err != nil || a.epoch != "e2" || a.seq != want {
					t.Errorf("started at %+v, want %d", a, want)
				}
				if a := <-g.openSoon("42", "", "e2", true); a.err != nil || a.seq != shared+7 {
					t.Errorf("the next one started at %+v, want %d", a, shared+7)
				}
			})
		}
	}
}

// A ticket that was taken by a write of which nobody heard is there again, also
// where another gateway has overwritten that since.
func TestTicketOfALostAcknowledgement(t *testing.T) {
	b := cursorBus(t)
	g1, g2 := cursorsOn(t, b), cursorsOn(t, b)
	g1.set("42", record{"e1", 100, []ticket{newTicket(90, g1.now())}})
	lost := false
	g1.lossy(func(subject string) bool {
		if !lost && strings.HasPrefix(subject, "$KV.") {
			lost = true
			g1.pass(cursorPatience + time.Second) // too late for another try
			return true
		}
		return false
	})
	if a := <-g1.openSoon("42", "", "e1", true); a.err == nil {
		t.Fatalf("started at %+v, though its ticket may not have been taken", a)
	}
	other := g2.open("42", "", true).c
	other.Confirm(110)
	other.Close()
	g2.write()
	g2.expect("42", g2.plain("e1", 110))

	g1.pass(cursorAgain)
	g1.write()
	if a := g1.open("42", "", true); a.seq != 90 {
		t.Errorf("started at %d: the ticket is gone", a.seq)
	}
}

// A gateway that has not seen a new epoch yet does not overwrite what another one
// wrote in it.
func TestRecordOfAnEpochNotSeenYet(t *testing.T) {
	b := cursorBus(t)
	ahead, behind := cursorsOn(t, b), cursorsOn(t, b)
	behind.present = func(done func(string, error)) { done("e2", nil) }
	c := behind.begun("42", 100)
	behind.pass(cursorEvery)
	behind.write()
	ahead.set("42", record{"e2", 30, []ticket{newTicket(20, ahead.now())}})
	c.Confirm(101)
	c.Close()
	behind.write()
	behind.expect("42", ahead.plain("e2", 30, 20))
}
