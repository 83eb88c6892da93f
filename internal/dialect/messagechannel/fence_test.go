package messagechannel

import (
	"testing"

	"belfry/internal/position"
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
	if ping, _ := f.write(33000, fenceEvery); !ping {
		t.Fatal("no ping")
	}
	f.reset(position.Mark{Epoch: "e2"})
	if ping, _ := f.write(7, 3*fenceEvery); ping {
		t.Error("a second ping, while the first is not answered")
	}
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
