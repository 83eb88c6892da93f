package eventsource

import (
	"log/slog"
	"testing"
	"time"
	"unsafe"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
)

// A fakeLine is a connection whose kernel a test plays.
type fakeLine struct {
	unsent int64
	exact  bool
	looks  int
	alarm  time.Duration
	during func() // while the kernel is asked
}

func (l *fakeLine) Name() string                        { return "test" }
func (l *fakeLine) Write([]byte)                        {}
func (l *fakeLine) Close(reason.Reason, uint16, string) {}
func (l *fakeLine) HastenTimeout(d time.Duration)       { l.alarm = d }
func (l *fakeLine) NotifyDrained() bool                 { return true }
func (l *fakeLine) Unsent() (int64, bool) {
	if l.looks++; l.during != nil {
		l.during()
	}
	return l.unsent, l.exact
}

// begun is a session that has begun, and its time in the test's hands.
func begun(t *testing.T, l *fakeLine, j *journal, brought string) *session {
	t.Helper()
	d := New(j.hub, nil, nil, nil, slog.New(slog.DiscardHandler))
	a := admission{request: request{position: brought}, identity: auth.Identity{User: "42"}}
	a.options.Heartbeat, a.options.Retry = time.Hour, time.Second
	s := d.open(l, a)
	eventually(t, "the session to begin", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.opening == nil
	})
	return s
}

func withJournal(t *testing.T) *journal {
	h := hub.New(1)
	t.Cleanup(h.Close)
	j := newJournal(h)
	h.SetHistory(j)
	return j
}

func (c *cursor) wants(t *testing.T, when string, sent, confirmed uint64, closed int) {
	t.Helper()
	if s, n, k := c.get(); s != sent || n != confirmed || k != closed {
		t.Errorf("%s: sent %d, confirmed %d, closed %d; want %d, %d, %d", when, s, n, k, sent, confirmed, closed)
	}
}

func TestConfirmedByTheKernel(t *testing.T) {
	j, l := withJournal(t), &fakeLine{exact: true, unsent: 100}
	s := begun(t, l, j, "")
	s.Deliver(nil, 0)
	if s.delivery.lookAt != 0 {
		t.Error("a look for what is not of the personal channel")
	}
	s.Deliver(nil, 5)
	s.Deliver(nil, 6)
	j.cursor.wants(t, "written", 6, 0, 0)
	if l.alarm > time.Second || l.alarm < 900*time.Millisecond {
		t.Errorf("it will be looked at in %v", l.alarm)
	}
	at := s.delivery.lookAt
	s.look(at - 1)
	if l.looks != 0 {
		t.Error("looked at too early")
	}
	s.look(at)
	j.cursor.wants(t, "unsent", 6, 0, 0)
	if got := s.delivery.lookAt; got != at+time.Second {
		t.Errorf("the next look is in %v", got-at)
	}
	l.unsent = 0
	s.look(at + time.Second)
	j.cursor.wants(t, "sent", 6, 6, 0)
	if s.delivery.lookAt != 0 || l.looks != 2 {
		t.Errorf("%d looks, another at %v", l.looks, s.delivery.lookAt)
	}
	s.Deliver(nil, 9)
	s.Closed(reason.ClientGone)
	s.Closed(reason.ClientGone)
	j.cursor.wants(t, "a break confirms nothing more", 9, 6, 1)
}

// Where the kernel does not tell, a write that was taken counts a second later.
func TestConfirmedByTime(t *testing.T) {
	j, l := withJournal(t), &fakeLine{}
	s := begun(t, l, j, "")
	s.Deliver(nil, 5)
	at := s.delivery.lookAt
	s.look(at)
	s.Deliver(nil, 6)
	j.cursor.wants(t, "taken", 6, 0, 0)
	l.unsent = 1
	s.look(at + 1*time.Second)
	j.cursor.wants(t, "6 waits", 6, 0, 0)
	l.unsent = 0
	s.look(at + 2*time.Second)
	j.cursor.wants(t, "a second after 5 was taken", 6, 5, 0)
	s.look(at + 3*time.Second)
	j.cursor.wants(t, "a second after 6 was taken", 6, 6, 0)
	if s.delivery.lookAt != 0 {
		t.Error("another look")
	}
}

// What was written before the stream was made anew is never confirmed as
// something of the new one.
func TestResetWhileTheKernelIsAsked(t *testing.T) {
	j, l := withJournal(t), &fakeLine{exact: true}
	s := begun(t, l, j, "")
	s.Deliver(nil, 500)
	l.during = func() { s.Reset(position.Mark{Epoch: "e2", Seq: 400}) }
	s.look(s.delivery.lookAt)
	j.cursor.wants(t, "reset", 500, 0, 0)
	l.during = nil
	s.Deliver(nil, 401)
	s.look(s.delivery.lookAt)
	j.cursor.wants(t, "after it", 500, 401, 0)
}

// Where the new epoch begins with what the client was sent in the old one, that
// is still to be confirmed.
func TestResetWithASharedHistory(t *testing.T) {
	j, l := withJournal(t), &fakeLine{exact: true, unsent: 1}
	s := begun(t, l, j, "")
	s.Deliver(nil, 500)
	s.Reset(position.Mark{Epoch: "e2", Seq: 400})
	s.look(s.delivery.lookAt)
	if s.delivery.lookAt == 0 {
		t.Fatal("no further look at what is not confirmed")
	}
	l.unsent = 0
	s.look(s.delivery.lookAt)
	j.cursor.wants(t, "it has what both epochs have", 500, 400, 0)
}

// There are as many sessions as connections.
func TestSize(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 320 {
		t.Errorf("a session has %d bytes", size)
	} else {
		t.Logf("%d bytes, of them %d the hub's", size, unsafe.Sizeof(hub.Conn{}))
	}
}
