package judge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"belfry/internal/position"
)

// A story is a history that a test makes up: user ann, with a client on
// "#ann" and "news", and another without positions.
type story struct {
	History
	clock time.Duration
	with  *Client // positions
	tab   *Client // without
}

func newStory() *story {
	s := &story{
		with: &Client{Name: "with", User: "ann", Position: true, Channels: []string{"#ann", "news"}},
		tab:  &Client{Name: "tab", User: "ann", Alone: true, Channels: []string{"#ann"}},
	}
	s.Clients = []*Client{s.with}
	return s
}

func (s *story) tick(d time.Duration) time.Duration { s.clock += d; return s.clock }

// publish has sequences of a channel published and acknowledged.
func (s *story) publish(channel string, seqs ...uint64) {
	for _, seq := range seqs {
		at, era := s.tick(time.Millisecond), 0
		for _, c := range s.Changes {
			if c.Stream == position.Of(channel) && c.What != Purged {
				era++
			}
		}
		s.Publications = append(s.Publications, &Publication{ID: id(channel, era, seq), Channel: channel, Sent: at, Acked: at, Seq: seq, Era: era, Tries: 1})
	}
}

func id(channel string, era int, seq uint64) string {
	return fmt.Sprintf("%s-%d-%d", channel, era, seq)
}

// place is a position by the sequences of both streams.
func place(epoch string, n, c uint64) position.Position {
	return position.Position{}.With(position.Notifications, position.Mark{Epoch: epoch, Seq: n}).With(position.Channels, position.Mark{Epoch: "c", Seq: c})
}

func (s *story) connect(c *Client, brought position.Position) {
	if n := len(c.Conns); n > 0 {
		s.end(c)
	}
	c.Conns = append(c.Conns, &Conn{Gateway: "1", Opened: s.tick(time.Millisecond), Brought: brought})
}

// end ends a client's connection, if it has not ended.
func (s *story) end(c *Client) {
	if conn := c.Conns[len(c.Conns)-1]; conn.Closed == 0 {
		conn.Closed, conn.How = s.tick(time.Millisecond), "cut"
	}
}

func (s *story) event(c *Client, e Event) {
	e.At = s.tick(time.Millisecond)
	conn := c.Conns[len(c.Conns)-1]
	conn.Events = append(conn.Events, e)
}

func (s *story) told(at position.Position) { s.event(s.with, Event{What: Told, Position: at}) }

func (s *story) reset(why string, at position.Position) {
	s.event(s.with, Event{What: Reset, Reason: why, Position: at})
}

// got has the client with positions get one of #ann.
func (s *story) got(at position.Position, seq uint64) { s.gotOf(at, "#ann", id("#ann", 0, seq)) }

func (s *story) gotOf(at position.Position, channel, id string) {
	s.event(s.with, Event{What: Got, ID: id, Channel: channel, Position: at})
}

// tabGot has the tab get these of #ann.
func (s *story) tabGot(seqs ...uint64) {
	for _, seq := range seqs {
		s.event(s.tab, Event{What: Got, ID: id("#ann", 0, seq), Channel: "#ann"})
	}
}

// tabForgottenAt has the tab, at gateway 1, come back long after a network forgot
// the connections of a gateway, and begin where the old one broke off only then.
func (s *story) tabForgottenAt(gateway string) {
	s.tabGot(1)
	s.Unheard = []Unheard{{gateway, Span{s.clock, s.clock + time.Second}}}
	s.tick(10 * time.Second)
	s.end(s.tab)
	s.tick(10 * time.Second)
	s.connect(s.tab, position.Position{})
	s.tabGot(2)
	s.tick(time.Minute)
	s.connect(s.tab, position.Position{})
	s.tabGot(2, 3)
}

func (s *story) judge() *Verdict {
	for _, c := range s.Clients {
		if n := len(c.Conns); n > 0 {
			c.Conns[n-1].Closed = s.tick(time.Millisecond)
		}
	}
	return Judge(&s.History)
}

func (s *story) change(c Change) {
	c.From = s.tick(time.Second)
	c.To = s.tick(time.Millisecond)
	s.Changes = append(s.Changes, c)
}

// wants fails unless the verdict has exactly these kinds, each once at least.
func wants(t *testing.T, v *Verdict, kinds ...Kind) {
	t.Helper()
	for _, k := range Kinds() {
		n, want := v.Count(k), false
		for _, w := range kinds {
			want = want || w == k
		}
		if (n > 0) != want {
			t.Errorf("%d violations of %q, want some: %v; all: %v", n, k, want, v.Violations)
		}
	}
	for _, w := range v.Violations {
		if w.User != "ann" || len(w.Story) == 0 || !strings.Contains(w.String(), string(w.Kind)) {
			t.Errorf("violation %+v does not tell its story", w)
		}
	}
}

func TestPositions(t *testing.T) {
	for name, c := range map[string]struct {
		tell  func(*story)
		wants []Kind
	}{
		"all is right": {tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.connect(s.with, place("e", 2, 0))
			s.told(place("e", 2, 0))
			s.got(place("e", 3, 0), 3)
		}},
		"the client goes back to a place of its own": {tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.connect(s.with, place("e", 1, 0))
			s.told(place("e", 1, 0))
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
		}},
		"the newest never comes": {wants: []Kind{Lost}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
		}},
		"one in the middle never comes": {wants: []Kind{Gap}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 3, 0), 3)
		}},
		"a position passes one over": {wants: []Kind{Gap}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.told(place("e", 3, 0))
		}},
		"a connection begins behind what the client brought": {wants: []Kind{Gap}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.connect(s.with, place("e", 1, 0))
			s.told(place("e", 2, 0))
			s.got(place("e", 3, 0), 3)
		}},
		"a connection begins before what the client brought": {wants: []Kind{Reordered, Duplicated}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.connect(s.with, place("e", 2, 0))
			s.told(place("e", 2, 0))
			s.got(place("e", 2, 0), 2)
			s.told(place("e", 1, 0))
			s.told(place("e", 2, 0))
			s.got(place("e", 3, 0), 3)
		}},
		"twice": {wants: []Kind{Duplicated}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
		}},
		"stored twice": {wants: []Kind{Duplicated}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
			s.got(place("e", 4, 0), 3)
		}},
		"in the wrong order": {wants: []Kind{Reordered}, tell: func(s *story) {
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 3, 0), 3)
		}},
		"another user's": {wants: []Kind{Misdelivered}, tell: func(s *story) {
			s.publish("#bob", 4)
			s.gotOf(place("e", 4, 0), "#bob", id("#bob", 0, 4))
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
		}},
		"on the wrong channel": {wants: []Kind{Misdelivered}, tell: func(s *story) {
			s.publish("news", 1)
			s.got(place("e", 1, 0), 1)
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
			s.gotOf(place("e", 3, 1), "news", id("news", 0, 1))
			s.gotOf(place("e", 3, 2), "news", id("#ann", 0, 1))
		}},
		"a reset for nothing": {wants: []Kind{FalseReset}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.reset("expired", place("e", 1, 0))
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
		}},
		"another epoch for nothing": {wants: []Kind{FalseReset, Gap}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.reset("epoch", place("f", 1, 0))
			s.got(place("f", 2, 0), 2)
			s.got(place("f", 3, 0), 3)
		}},
		"another epoch without a reset": {wants: []Kind{Gap}, tell: func(s *story) {
			s.got(place("e", 1, 0), 1)
			s.told(place("f", 1, 0))
			s.got(place("f", 2, 0), 2)
			s.got(place("f", 3, 0), 3)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.connect(s.with, position.Position{})
			s.told(place("e", 0, 0))
			s.publish("#ann", 1, 2, 3)
			c.tell(s)
			wants(t, s.judge(), c.wants...)
		})
	}
}

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct {
		tell  func(*story)
		wants []Kind
	}{
		"purged, and told": {tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Purged, First: 4})
			s.connect(s.with, place("e", 1, 0))
			s.told(place("e", 1, 0))
			s.reset("expired", place("e", 3, 0))
		}},
		"purged, and not told": {wants: []Kind{Gap}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Purged, First: 4})
			s.tick(time.Minute)
			s.connect(s.with, place("e", 1, 0))
			s.told(place("e", 3, 0))
		}},
		"purged, what the client has": {wants: []Kind{FalseReset}, tell: func(s *story) {
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
			s.change(Change{Stream: position.Notifications, What: Purged, First: 4})
			s.connect(s.with, place("e", 3, 0))
			s.told(place("e", 3, 0))
			s.reset("expired", place("e", 3, 0))
		}},
		"made anew, and told": {tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Recreated})
			s.publish("#ann", 1)
			s.reset("epoch", place("f", 0, 0))
			s.gotOf(place("f", 1, 0), "#ann", id("#ann", 1, 1))
		}},
		"made anew, and told twice": {wants: []Kind{FalseReset, Gap}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Recreated})
			s.publish("#ann", 1)
			s.reset("epoch", place("f", 0, 0))
			s.gotOf(place("f", 1, 0), "#ann", id("#ann", 1, 1))
			s.tick(time.Minute)
			s.reset("epoch", place("g", 1, 0))
		}},
		"made anew, and never told": {wants: []Kind{Gap}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Recreated})
			s.publish("#ann", 1)
			s.tick(time.Minute)
			s.told(place("e", 3, 0))
		}},
		"made anew, and the reset passes one over": {wants: []Kind{Lost}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Recreated})
			s.publish("#ann", 1)
			s.reset("epoch", place("f", 1, 0))
		}},
		"restored, what was lost is told": {tell: func(s *story) {
			s.got(place("e", 2, 0), 2)
			s.got(place("e", 3, 0), 3)
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 2})
			s.publish("#ann", 3)
			s.reset("epoch", place("e.1", 2, 0))
			s.gotOf(place("e.1", 3, 0), "#ann", id("#ann", 1, 3))
		}},
		"restored, and the reset passes one over": {wants: []Kind{Lost}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 2})
			s.reset("epoch", place("e.1", 2, 0))
		}},
		"restored, and told after the next has come": {tell: func(s *story) {
			s.publish("#ann", 4)
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 1})
			s.publish("#ann", 2, 3, 4, 5)
			s.gotOf(place("e", 5, 0), "#ann", id("#ann", 1, 5))
			s.reset("epoch", place("e.1", 1, 0))
			for seq := uint64(2); seq <= 5; seq++ {
				s.gotOf(place("e.1", seq, 0), "#ann", id("#ann", 1, seq))
			}
		}},
		"restored, then made anew, and told after the next has come": {tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 3})
			s.publish("#ann", 4)
			s.reset("epoch", place("e.1", 1, 0))
			s.connect(s.with, place("e.1", 1, 0))
			s.change(Change{Stream: position.Notifications, What: Recreated})
			s.gotOf(place("e.1", 4, 0), "#ann", id("#ann", 1, 4)) // from memory, and what is missing was deleted
			s.reset("epoch", place("e.2", 0, 0))
		}},
		"restored, and not told after the next has come": {wants: []Kind{Gap}, tell: func(s *story) {
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 1})
			s.tick(Seen)
			s.publish("#ann", 2, 3, 4)
			s.gotOf(place("e", 4, 0), "#ann", id("#ann", 1, 4))
		}},
		"restored, and what it lost comes after": {wants: []Kind{Misdelivered}, tell: func(s *story) {
			s.got(place("e", 2, 0), 2)
			s.change(Change{Stream: position.Notifications, What: Restored, Last: 2})
			s.reset("epoch", place("e.1", 2, 0))
			s.gotOf(place("e.1", 3, 0), "#ann", id("#ann", 0, 3))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.connect(s.with, position.Position{})
			s.told(place("e", 0, 0))
			s.publish("#ann", 1, 2, 3)
			s.got(place("e", 1, 0), 1)
			c.tell(s)
			wants(t, s.judge(), c.wants...)
		})
	}
}

func TestWithoutPositions(t *testing.T) {
	for name, c := range map[string]struct {
		tell  func(*story)
		wants []Kind
	}{
		"all is right": {tell: func(s *story) { s.tabGot(1, 2); s.connect(s.tab, position.Position{}); s.tabGot(3) }},
		"some again":   {tell: func(s *story) { s.tabGot(1, 2); s.connect(s.tab, position.Position{}); s.tabGot(2, 3) }},
		"again, after long, by one who took the time to come back": {wants: []Kind{Duplicated}, tell: func(s *story) {
			s.tabGot(1)
			s.end(s.tab)
			s.tick(time.Minute)
			s.connect(s.tab, position.Position{})
			s.tabGot(2)
			s.tick(time.Minute)
			s.connect(s.tab, position.Position{})
			s.tabGot(2, 3)
		}},
		"again, after long": {wants: []Kind{Duplicated}, tell: func(s *story) {
			s.tabGot(1, 2)
			s.tick(time.Minute)
			s.connect(s.tab, position.Position{})
			s.tabGot(2, 3)
		}},
		"again, after long, NATS was away": {tell: func(s *story) {
			s.tabGot(1, 2)
			s.Away = []Span{{s.clock, s.clock + time.Minute}}
			s.tick(time.Minute)
			s.connect(s.tab, position.Position{})
			s.tabGot(2, 3)
		}},
		"again, from where an earlier connection broke": {tell: func(s *story) {
			s.tabGot(1)
			s.connect(s.tab, position.Position{}) // at once
			s.tabGot(2)
			s.tick(time.Minute)
			s.connect(s.tab, position.Position{})
			s.tabGot(2, 3)
		}},
		"again, from where a connection broke that the gateway was not told of": {tell: func(s *story) { s.tabForgottenAt("1") }},
		"the same, at another gateway":                                          {wants: []Kind{Duplicated}, tell: func(s *story) { s.tabForgottenAt("2") }},
		"again and again from there": {wants: []Kind{Duplicated}, tell: func(s *story) {
			s.tabGot(1)
			s.connect(s.tab, position.Position{})
			s.tabGot(2)
			for range 3 {
				s.tick(time.Minute)
				s.end(s.tab)
				s.tick(time.Minute)
				s.connect(s.tab, position.Position{})
				s.tabGot(2, 3)
			}
		}},
		"lost":                   {wants: []Kind{Lost}, tell: func(s *story) { s.tabGot(1, 2) }},
		"lost between":           {wants: []Kind{Lost}, tell: func(s *story) { s.tabGot(1); s.connect(s.tab, position.Position{}); s.tabGot(3) }},
		"a gap":                  {wants: []Kind{Lost, Gap}, tell: func(s *story) { s.tabGot(1, 3) }},
		"a gap, mended too late": {wants: []Kind{Gap}, tell: func(s *story) { s.tabGot(1, 3); s.connect(s.tab, position.Position{}); s.tabGot(2, 3) }},
		"twice":                  {wants: []Kind{Duplicated}, tell: func(s *story) { s.tabGot(1, 2, 2, 3) }},
		"wrong order":            {wants: []Kind{Reordered}, tell: func(s *story) { s.tabGot(1, 3, 2) }},
		"another user's": {wants: []Kind{Misdelivered}, tell: func(s *story) {
			s.publish("#bob", 4)
			s.tabGot(1, 2, 3)
			s.event(s.tab, Event{What: Got, ID: id("#bob", 0, 4), Channel: "#ann"})
		}},
		"of nobody": {wants: []Kind{Misdelivered}, tell: func(s *story) { s.tabGot(1, 2, 3, 9) }},
		"one tab has what the other has not": {tell: func(s *story) {
			other := &Client{Name: "other", User: "ann", Channels: []string{"#ann"}}
			s.tab.Alone = false
			s.Clients = append(s.Clients, other)
			s.connect(other, position.Position{})
			s.tabGot(1, 2)
			s.event(other, Event{What: Got, ID: id("#ann", 0, 3), Channel: "#ann"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.Clients = []*Client{s.tab}
			s.connect(s.tab, position.Position{})
			s.publish("#ann", 1, 2, 3)
			c.tell(s)
			wants(t, s.judge(), c.wants...)
		})
	}
}

// What was not acknowledged may come or not, but once.
func TestUnacknowledged(t *testing.T) {
	s := newStory()
	s.Publications = append(s.Publications, &Publication{ID: "x", Channel: "#ann"}, &Publication{ID: "y", Channel: "#ann"})
	s.connect(s.with, position.Position{})
	s.told(place("e", 0, 0))
	s.gotOf(place("e", 1, 0), "#ann", "x")
	if v := s.judge(); v.Wrong() != 0 || v.Unacked != 1 {
		t.Errorf("one that was not acknowledged: %+v", v)
	}
	s.gotOf(place("e", 2, 0), "#ann", "x")
	wants(t, s.judge(), Duplicated)
}

// A client that never gets in has got nothing, be it owed something or not.
func TestNeverIn(t *testing.T) {
	s := newStory()
	s.connect(s.with, position.Position{})
	wants(t, s.judge(), Lost)
}

func TestTooMany(t *testing.T) {
	s := newStory()
	s.connect(s.with, position.Position{})
	s.told(place("e", 0, 0))
	for seq := uint64(1); seq <= 3*each; seq++ {
		s.publish("#ann", seq)
	}
	if v := s.judge(); v.Count(Lost) != 3*each || len(v.Violations) != each || v.Wrong() != 3*each {
		t.Errorf("%d lost, %d told, %d in all", v.Count(Lost), len(v.Violations), v.Wrong())
	}
}
