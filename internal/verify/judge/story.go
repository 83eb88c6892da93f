package judge

import (
	"fmt"
	"slices"
	"time"
)

const (
	storyEvents = 6                // of the client
	storyTime   = 20 * time.Second // of the system's notes before
)

// story is what happened to a client, and to the system, before a time.
func (j *judgement) story(c *Client, conn *Conn, at time.Duration) []string {
	var notes []Note
	for _, n := range j.Notes {
		if n.At >= at-storyTime && n.At <= at+time.Second {
			notes = append(notes, n)
		}
	}
	for i, k := range c.Conns {
		if k.Opened > at || k.Closed < at-storyTime && k != conn {
			continue
		}
		notes = append(notes, Note{k.Opened, fmt.Sprintf("connection %d to %s, position %q", i+1, k.Gateway, k.Brought)})
		if k.Closed > 0 && k.Closed <= at {
			notes = append(notes, Note{k.Closed, fmt.Sprintf("connection %d ended: %s", i+1, k.How)})
		}
	}
	if conn != nil {
		notes = append(notes, conn.before(at)...)
	}
	return lines(notes)
}

// lines puts notes in order.
func lines(notes []Note) []string {
	slices.SortStableFunc(notes, func(a, b Note) int { return int(a.At - b.At) })
	lines := make([]string, 0, len(notes))
	for _, n := range notes {
		lines = append(lines, fmt.Sprintf("%8.3fs %s", n.At.Seconds(), n.Text))
	}
	return lines
}

// around is what happened to the system and to all of a user's clients around
// the time at which a publication was acknowledged.
func (u *user) around(p *Publication) []string {
	from, to := p.Acked-storyTime, p.Acked+storyTime
	var notes []Note
	for _, n := range u.Notes {
		if from <= n.At && n.At <= to {
			notes = append(notes, n)
		}
	}
	for _, c := range u.clients {
		for i, k := range c.Conns {
			if k.Opened > to || k.Closed < from {
				continue
			}
			name := fmt.Sprintf("client %s, connection %d", c.Name, i+1)
			notes = append(notes, Note{k.Opened, fmt.Sprintf("%s to %s", name, k.Gateway)}, Note{k.Closed, fmt.Sprintf("%s ended: %s", name, k.How)})
			for _, n := range u.nearest(k, p) {
				notes = append(notes, Note{n.At, name + " " + n.Text})
			}
		}
	}
	return lines(notes)
}

// nearest are what a connection got first, last, and on either side of a
// publication of its channel.
func (u *user) nearest(k *Conn, p *Publication) (notes []Note) {
	got := func(e Event, q *Publication) {
		notes = append(notes, Note{e.At, fmt.Sprintf("%s, sequence %d", e, q.Seq)})
	}
	var last *Event
	for i := range k.Events {
		e := &k.Events[i]
		q := u.ledger.byID[e.ID]
		if q == nil || q.Channel != p.Channel {
			continue
		}
		before := u.ledger.byID[idOf(last)]
		if before == nil || later(q, p) != later(before, p) || later(before, q) {
			if before != nil {
				got(*last, before)
			}
			got(*e, q)
		}
		last = e
	}
	if q := u.ledger.byID[idOf(last)]; q != nil {
		got(*last, q)
	}
	return notes
}

func idOf(e *Event) string {
	if e == nil {
		return ""
	}
	return e.ID
}

// before are the newest events of a connection up to a time.
func (k *Conn) before(at time.Duration) (notes []Note) {
	end := len(k.Events)
	for end > 0 && k.Events[end-1].At > at {
		end--
	}
	for _, e := range k.Events[max(0, end-storyEvents):end] {
		notes = append(notes, Note{e.At, e.String()})
	}
	return notes
}

func (e Event) String() string {
	switch e.What {
	case Told:
		return fmt.Sprintf("told position %s", e.Position)
	case Reset:
		return fmt.Sprintf("told reset %s, position %s", e.Reason, e.Position)
	}
	return fmt.Sprintf("got %s on %s %s", e.ID, e.Channel, e.Position)
}
