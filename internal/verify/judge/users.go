package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"belfry/internal/position"
)

// A user is one delivered cursor, and the clients without positions that share
// it: those of a user, or one device.
type user struct {
	*judgement
	clients []*Client
	got     map[*Publication][]receipt
}

// A receipt is one publication on one connection.
type receipt struct {
	client *Client
	conn   *Conn
	at     time.Duration
}

func (u *user) judge() {
	u.got = map[*Publication][]receipt{}
	for _, c := range u.clients {
		for _, conn := range c.Conns {
			u.connection(c, conn)
		}
	}
	u.lost()
	if len(u.clients) == 1 {
		u.again(u.clients[0])
	}
}

// connection judges the order on one connection, and that nothing is left out
// in its middle.
func (u *user) connection(c *Client, conn *Conn) {
	var last *Publication
	seen := map[*Publication]bool{}
	missed := map[*Publication]gone{}
	for _, e := range conn.Events {
		u.verdict.Delivered++
		p := u.ledger.byID[e.ID]
		switch {
		case p == nil:
			u.violate(Misdelivered, c, conn, e.At, e.Channel, 0, fmt.Sprintf("%s was not published", e.ID))
			continue
		case !c.reads(p.Channel):
			u.violate(Misdelivered, c, conn, e.At, p.Channel, p.Seq, fmt.Sprintf("%s came to a client that reads %s", e.ID, list(c.Channels)))
			continue
		}
		u.got[p] = append(u.got[p], receipt{c, conn, e.At})
		if p.Acked == 0 {
			u.verdict.Unacked++ // its sequence is not known
			if seen[p] {
				u.violate(Duplicated, c, conn, e.At, p.Channel, p.Seq, fmt.Sprintf("%s came again on the same connection", e.ID))
			}
			seen[p] = true
			continue
		}
		if last != nil {
			u.step(c, conn, e, last, p, seen, missed)
		}
		seen[p] = true
		if last == nil || later(p, last) || u.ledger.restless(p.stream(), e.At, e.At) {
			last = p
		}
	}
	for _, p := range sorted(missed) {
		g := missed[p]
		u.violate(Gap, c, conn, g.at, p.Channel, p.Seq, fmt.Sprintf("%s, acknowledged at %.3fs, did not come before the client %s", p.ID, p.Acked.Seconds(), g.by))
	}
}

// step judges one publication behind another.
func (u *user) step(c *Client, conn *Conn, e Event, last, p *Publication, seen map[*Publication]bool, missed map[*Publication]gone) {
	restless := u.ledger.restless(p.stream(), e.At, e.At)
	switch {
	case restless && (seen[p] || p.Era != last.Era || !later(p, last)):
		// A reset, which this protocol has no word for: some may come again.
	case seen[p]:
		u.violate(Duplicated, c, conn, e.At, p.Channel, p.Seq, fmt.Sprintf("%s came again on the same connection", e.ID))
	case !later(p, last):
		delete(missed, p)
		u.violate(Reordered, c, conn, e.At, p.Channel, p.Seq, fmt.Sprintf("%s came behind %s, sequence %d", e.ID, last.ID, last.Seq))
	case p.Era == last.Era:
		for _, between := range u.ledger.between(p.Channel, p.Era, last.Seq, p.Seq-1) {
			if _, purged := u.ledger.purge(p.stream(), p.Era, between.Seq); !purged && !seen[between] {
				missed[between] = gone{at: e.At, by: e.String()}
			}
		}
	}
}

func later(a, b *Publication) bool { return a.Era > b.Era || a.Era == b.Era && a.Seq > b.Seq }

// lost tells of what came to none of the connections.
func (u *user) lost() {
	c := u.clients[0]
	if len(c.Conns) == 0 {
		return
	}
	for _, channel := range c.Channels {
		for _, p := range u.ledger.of[channel] {
			if len(u.got[p]) == 0 && u.ledger.kept(p) {
				u.tell(Lost, c, channel, p.Seq, fmt.Sprintf("%s, acknowledged at %.3fs, came on none of the user's connections", p.ID, p.Acked.Seconds()),
					func() []string { return u.around(p) })
			}
		}
	}
}

// again judges what came on more than one connection of a client that shares
// its cursor with nobody.
func (u *user) again(c *Client) {
	var twice []*Publication
	for p, all := range u.got {
		slices.SortStableFunc(all, func(a, b receipt) int { return cmp.Compare(a.at, b.at) })
		if len(all) > 1 {
			twice = append(twice, p)
		}
	}
	slices.SortFunc(twice, func(a, b *Publication) int { return cmp.Or(cmp.Compare(a.Sent, b.Sent), cmp.Compare(a.ID, b.ID)) })
	tickets := map[*Conn]*Conn{}
	for _, p := range twice {
		all := u.got[p]
		for i := 1; i < len(all); i++ {
			if all[i-1].conn != all[i].conn { // else judged with the connection
				u.twice(c, p, all[i-1], all[i], tickets)
			}
		}
	}
}

func (u *user) twice(c *Client, p *Publication, first, second receipt, tickets map[*Conn]*Conn) {
	age := first.conn.Closed - first.at
	away := u.away(first.at, first.conn.Closed+time.Second)
	switch {
	case u.ledger.restless(position.Of(p.Channel), first.at, second.at):
	case age <= Window:
		u.verdict.Again++
		u.verdict.Longest = max(u.verdict.Longest, age)
	case age-away <= Window:
		u.verdict.Again++
		u.verdict.AgainAway++
	case u.late(c, first.conn, second.conn, tickets):
		u.verdict.AgainLate++
	default:
		u.violate(Duplicated, c, second.conn, second.at, p.Channel, p.Seq,
			fmt.Sprintf("%s came again, and had come %.3fs before its connection broke at %.3fs", p.ID, age.Seconds(), first.conn.Closed.Seconds()))
	}
}

// late tells whether second can have begun where a connection before first
// broke off: one whose client was back before that was known, and left a ticket
// that nobody had taken. A ticket is taken once.
func (u *user) late(c *Client, first, second *Conn, tickets map[*Conn]*Conn) bool {
	for i, broken := range c.Conns[:len(c.Conns)-1] {
		next := c.Conns[i+1]
		if next.Opened > first.Opened {
			return false
		}
		unknown := next.Opened-broken.Closed < Known || u.away(broken.Closed-Known, next.Opened) > 0 || u.unheard(broken, next.Opened)
		if by := tickets[broken]; unknown && (by == nil || by == second) && second.Opened-broken.Closed <= TicketLife+Seen {
			tickets[broken] = second
			return true
		}
	}
	return false
}

// unheard tells whether a gateway may not have known at some time that a
// connection had ended, as it was not told.
func (u *user) unheard(c *Conn, at time.Duration) bool {
	return slices.ContainsFunc(u.Unheard, func(s Unheard) bool {
		return s.Gateway == c.Gateway && s.From <= c.Closed && s.To >= c.Opened && at <= s.To+FoundOut+Known
	})
}

// away is for how long, between two times, something was away.
func (u *user) away(from, to time.Duration) (sum time.Duration) {
	for _, s := range u.Away {
		if begin, end := max(from, s.From), min(to, s.To); end > begin {
			sum += end - begin
		}
	}
	return sum
}
