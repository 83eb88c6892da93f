package messagechannel

import (
	"testing"

	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

type noCursor struct{}

func (noCursor) Sent(uint64)         {}
func (noCursor) Confirm(uint64)      {}
func (noCursor) Reset(position.Mark) {}
func (noCursor) Close()              {}
func (noCursor) Break()              {}

// A confirming is a cursor that keeps the newest that was confirmed since its
// last reset.
type confirming struct {
	noCursor
	confirmed uint64
}

func (c *confirming) Confirm(seq uint64)  { c.confirmed = max(c.confirmed, seq) }
func (c *confirming) Reset(position.Mark) { c.confirmed = 0 }

// The pong of a ping from before a reset says nothing of what was sent after it,
// however late it comes.
func TestFenceAndALatePong(t *testing.T) {
	var f fence
	c := &confirming{}
	f.open(c)
	if ping := f.write(33000, fenceEvery); !ping {
		t.Fatal("no ping")
	}
	f.reset(position.Mark{Epoch: "e2"})
	if ping := f.write(7, 3*fenceEvery); ping {
		t.Error("a second ping, while the first is not answered")
	}
	f.wrote(7)
	if later := f.passed(); !later || c.confirmed != 0 {
		t.Errorf("the first pong confirmed %d, and another ping is to follow: %v", c.confirmed, later)
	}
	if ping, _ := f.due(4 * fenceEvery); !ping {
		t.Error("no ping for what came after the reset")
	}
	if f.passed(); c.confirmed != 7 {
		t.Errorf("confirmed %d, want 7", c.confirmed)
	}
}

// Where the new epoch begins with what the client was sent in the old one, that
// is still to be confirmed.
func TestFenceAndASharedHistory(t *testing.T) {
	var f fence
	c := &confirming{}
	f.open(c)
	f.write(900, fenceEvery)
	f.write(1000, fenceEvery+1)
	f.wrote(1000)
	f.reset(position.Mark{Epoch: "e2", Seq: 950})
	if later := f.passed(); !later || c.confirmed != 900 {
		t.Errorf("confirmed %d, want 900; another ping is to follow: %v", c.confirmed, later)
	}
	if ping, _ := f.due(3 * fenceEvery); !ping {
		t.Error("no ping for the rest")
	}
	if f.passed(); c.confirmed != 950 {
		t.Errorf("confirmed %d, want 950: the rest is not in the new epoch", c.confirmed)
	}
}

// A ping that another goroutine writes does not count for what is about to be
// written, and may come behind it.
func TestFenceBetweenDecisionAndWrite(t *testing.T) {
	var f fence
	c := &confirming{}
	f.open(c)
	f.write(1, fenceEvery)
	f.passed()
	f.write(2, fenceEvery+1)
	f.wrote(2)
	f.write(3, fenceEvery+2)
	if !f.last(fenceEvery + 3) {
		t.Fatal("no ping for what is not confirmed")
	}
	f.wrote(3)
	if later := f.passed(); !later || c.confirmed != 2 {
		t.Errorf("confirmed %d, want 2; another ping is to follow: %v", c.confirmed, later)
	}
}

// What was sent in the last second is confirmed by a client that is there when
// its gateway leaves.
func TestLastFence(t *testing.T) {
	g := start(t, nil)
	w := g.session(func() *client { return g.in(token1, yes1) })
	c := &confirming{}
	w.session.fence.open(c)
	w.session.Deliver(frame(transport.OpText, []byte("a")), 1)
	w.client.hears("a")
	answer := func() {
		t.Helper()
		if first, payload := w.client.next(); first != pingFrame || payload != fenceText {
			t.Fatalf("got %#x %q, want a fence", first, payload)
		}
		w.client.write(masked(pongFrame, fenceText))
	}
	answer()
	w.client.hearsNothing() // until the pong has come
	w.session.Deliver(frame(transport.OpText, []byte("b")), 2)
	w.client.hears("b")
	go g.transport.Drain(0)
	answer()
	w.client.hearsClose("\x03\xf4the gateway is restarting, please come back")
	g.closedFor(reason.Drain)
	if c.confirmed != 2 {
		t.Errorf("confirmed %d, want 2", c.confirmed)
	}
}

var _ transport.Leaver = (*session)(nil)
