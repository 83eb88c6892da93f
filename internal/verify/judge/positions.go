package judge

import (
	"fmt"
	"slices"
	"time"

	"belfry/internal/position"
)

// A walk goes through a client with positions.
type walk struct {
	*judgement
	client *Client
	start  position.Position // the first one that it was told
	at     position.Position // the last one
	conn   *Conn
	got    map[string]mark       // by publication: where it came last
	missed map[*Publication]gone // of this connection: passed over so far
}

// mark is where a publication came.
type mark struct {
	position.Mark
	conn *Conn
}

// gone is when a publication was passed over.
type gone struct {
	at  time.Duration
	by  string
	era int // that the position is of, where there is one
}

func newWalk(j *judgement, c *Client) *walk {
	return &walk{judgement: j, client: c, got: map[string]mark{}}
}

func (w *walk) all() {
	for _, conn := range w.client.Conns {
		w.conn, w.missed = conn, map[*Publication]gone{}
		if !conn.Brought.IsZero() {
			w.at = conn.Brought
		}
		w.connection()
		w.gaps()
	}
	w.rest()
}

func (w *walk) connection() {
	for i := 0; i < len(w.conn.Events); i++ {
		switch e := w.conn.Events[i]; e.What {
		case Got:
			w.publication(e)
		case Told:
			w.move(e, position.None)
		case Reset:
			// One event for each reason, all with the same position.
			reasons := []string{e.Reason}
			for i+1 < len(w.conn.Events) && w.conn.Events[i+1].What == Reset && w.conn.Events[i+1].Position == e.Position {
				i++
				reasons = append(reasons, w.conn.Events[i].Reason)
			}
			w.reset(e, reasons)
		}
	}
}

func (w *walk) publication(e Event) {
	w.verdict.Delivered++
	s := position.Of(e.Channel)
	was, m := w.at.Get(s), e.Position.Get(s)
	p := w.ledger.byID[e.ID]
	switch {
	case !w.client.reads(e.Channel):
		w.violate(Misdelivered, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s came to a client that reads %s", e.ID, list(w.client.Channels)))
		return
	case p == nil || p.Channel != e.Channel:
		w.violate(Misdelivered, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s was not published on this channel", e.ID))
		return
	case p.Acked == 0:
		w.verdict.Unacked++
	}
	before, again := w.got[e.ID]
	w.got[e.ID] = mark{m, w.conn}
	switch {
	case again && before.Epoch == m.Epoch && before.Seq != m.Seq:
		w.violate(Duplicated, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s came before with sequence %d: it is stored twice", e.ID, before.Seq))
	case m.Epoch != was.Epoch:
		// move says so.
	case m.Seq <= was.Seq && again && before.Epoch == m.Epoch:
		w.violate(Duplicated, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s came again behind position %d", e.ID, was.Seq))
		return
	case m.Seq <= was.Seq:
		w.violate(Reordered, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s came behind position %d", e.ID, was.Seq))
		delete(w.missed, p)
		return
	}
	w.move(e, s)
	w.belongs(e, p, m)
}

// belongs tells whether a publication is of the history that its epoch names.
func (w *walk) belongs(e Event, p *Publication, m position.Mark) {
	s := p.stream()
	era := w.ledger.labels[s][m.Epoch].era
	if p.Acked == 0 || w.ledger.in(p, era) {
		return
	}
	next, ok := w.ledger.began(s, era+1)
	switch {
	case p.Era < era || !ok:
		w.violate(Misdelivered, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("%s is of a history that the stream no longer had", e.ID))
	case e.At > next.To+Seen:
		w.violate(Gap, w.client, w.conn, e.At, e.Channel, m.Seq, fmt.Sprintf("the stream was %s %s before, and the client not told", next.What, e.At-next.To))
	default:
		w.verdict.Stale++
	}
}

// move takes a position over: everything up to it must have come. The event's
// own publication, in stream own, has.
func (w *walk) move(e Event, own position.Stream) {
	for _, s := range w.client.streams() {
		was, m := w.at.Get(s), e.Position.Get(s)
		switch {
		case m.Epoch == "":
			continue
		case was.Epoch == "":
			w.start = w.start.With(s, m)
		case was.Epoch != m.Epoch:
			w.violate(Gap, w.client, w.conn, e.At, s.String(), m.Seq, fmt.Sprintf("the epoch changed from %s to %s, and no reset said so", was.Epoch, m.Epoch))
		case m.Seq < was.Seq:
			w.violate(Reordered, w.client, w.conn, e.At, s.String(), m.Seq, fmt.Sprintf("the position went back from %d", was.Seq))
		default:
			to := m.Seq
			if s == own {
				to--
			}
			w.pass(s, m.Epoch, was.Seq, to, e)
		}
		w.at = w.at.With(s, m)
	}
}

// pass notes what was between two positions and did not come.
func (w *walk) pass(s position.Stream, epoch string, from, to uint64, e Event) {
	if to <= from {
		return
	}
	era := w.ledger.labels[s][epoch].era
	for _, channel := range w.client.Channels {
		if position.Of(channel) != s {
			continue
		}
		for _, p := range w.ledger.between(channel, era, from, to) {
			if g, ok := w.got[p.ID]; ok && g.conn == w.conn && g.Epoch == epoch {
				continue // the position had gone back
			}
			w.missed[p] = gone{e.At, e.String(), era}
		}
	}
}

// gaps tells of what a connection passed over for good.
func (w *walk) gaps() {
	for _, p := range sorted(w.missed) {
		g := w.missed[p]
		s := p.stream()
		if c, ok := w.ledger.purge(s, w.ledger.eraAt(s, g.at), p.Seq); ok && g.at >= c.From && w.conn.Opened <= c.To+Seen {
			w.verdict.PassedOver++
			continue
		}
		if c, ok := w.ledger.ended(p, g.era); ok && g.at >= c.From && g.at <= c.To+Seen {
			w.verdict.Stale++ // that the client is told is judged with what comes later
			continue
		}
		w.violate(Gap, w.client, w.conn, g.at, p.Channel, p.Seq, fmt.Sprintf("%s, acknowledged at %.3fs, did not come before the client %s", p.ID, p.Acked.Seconds(), g.by))
	}
}

func sorted(missed map[*Publication]gone) (list []*Publication) {
	for p := range missed {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Publication) int { return int(a.Acked - b.Acked) })
	return list
}

// rest tells of what had not come when all was over.
func (w *walk) rest() {
	if len(w.client.Conns) == 0 {
		return
	}
	if w.start.IsZero() {
		w.violate(Lost, w.client, w.conn, w.conn.Closed, list(w.client.Channels), 0, "the client never got as far as its first position")
		return
	}
	end := w.conn.Closed
	for _, s := range w.client.streams() {
		m, era := w.at.Get(s), w.ledger.last(s)
		if label, ok := w.ledger.labels[s][m.Epoch]; ok && label.era != era {
			c, _ := w.ledger.began(s, era)
			if end > c.To+Seen {
				w.violate(Gap, w.client, w.conn, end, s.String(), m.Seq, fmt.Sprintf("the stream was %s at %.3fs, and the client was never told", c.What, c.To.Seconds()))
			}
			continue
		}
		for _, channel := range w.client.Channels {
			if position.Of(channel) != s {
				continue
			}
			for _, p := range w.ledger.between(channel, era, m.Seq, ^uint64(0)) {
				if w.ledger.kept(p) {
					w.violate(Lost, w.client, w.conn, end, channel, p.Seq, fmt.Sprintf("%s, acknowledged at %.3fs, never came", p.ID, p.Acked.Seconds()))
				}
			}
		}
	}
}
