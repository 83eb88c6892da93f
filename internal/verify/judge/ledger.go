package judge

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"belfry/internal/position"
)

// A ledger finds publications. A stream's history is a row of eras: a new one
// begins where it is re-created or restored, and sequences are given out again.
type ledger struct {
	byID    map[string]*Publication
	changes map[position.Stream][]Change // of one stream, in order
	// labels has the era that an epoch's name was first seen in.
	labels map[position.Stream]map[string]label
	lists  map[shelf][]*Publication
	of     map[string][]*Publication // by channel, acknowledged
}

type shelf struct {
	channel string
	era     int
}

type label struct {
	era   int
	first time.Duration // when a client first saw it
}

func newLedger(h *History) *ledger {
	l := &ledger{
		byID:    make(map[string]*Publication, len(h.Publications)),
		changes: map[position.Stream][]Change{}, labels: map[position.Stream]map[string]label{},
		lists: map[shelf][]*Publication{}, of: map[string][]*Publication{},
	}
	for _, p := range h.Publications {
		l.byID[p.ID] = p
		if p.Acked > 0 {
			l.of[p.Channel] = append(l.of[p.Channel], p)
		}
	}
	for _, c := range h.Changes {
		l.changes[c.Stream] = append(l.changes[c.Stream], c)
	}
	for _, s := range position.All() {
		l.labels[s] = map[string]label{}
	}
	for _, c := range h.Clients {
		for _, conn := range c.Conns {
			for _, e := range conn.Events {
				l.see(e)
			}
		}
	}
	return l
}

func (l *ledger) see(e Event) {
	for _, s := range position.All() {
		m := e.Position.Get(s)
		if m.Epoch == "" {
			continue
		}
		if known, ok := l.labels[s][m.Epoch]; !ok || e.At < known.first {
			l.labels[s][m.Epoch] = label{l.eraAt(s, e.At), e.At}
		}
	}
}

// eraAt is a stream's era at a time.
func (l *ledger) eraAt(s position.Stream, at time.Duration) int {
	era := 0
	for _, c := range l.changes[s] {
		if c.What != Purged && c.From <= at {
			era++
		}
	}
	return era
}

// began is the change that began an era; none for the first.
func (l *ledger) began(s position.Stream, era int) (Change, bool) {
	for _, c := range l.changes[s] {
		if c.What == Purged {
			continue
		}
		if era--; era == 0 {
			return c, true
		}
	}
	return Change{}, false
}

// last is the stream's last era.
func (l *ledger) last(s position.Stream) int {
	n := 0
	for _, c := range l.changes[s] {
		if c.What != Purged {
			n++
		}
	}
	return n
}

// in tells whether the stream had a publication in an era, purged or not.
func (l *ledger) in(p *Publication, era int) bool {
	switch {
	case p.Era == era:
		return true
	case p.Era > era:
		return false
	}
	c, ok := l.began(p.stream(), era)
	return ok && c.What == Restored && p.Seq >= c.First && p.Seq <= c.Last && l.in(p, c.Of)
}

// ended is the change that ended an era, where a publication was lost with it.
func (l *ledger) ended(p *Publication, era int) (Change, bool) {
	c, ok := l.began(p.stream(), era+1)
	return c, ok && !l.in(p, era+1)
}

// purge is the change that took a sequence out of an era.
func (l *ledger) purge(s position.Stream, era int, seq uint64) (Change, bool) {
	for _, c := range l.changes[s] {
		if c.What == Purged && seq < c.First && l.eraAt(s, c.From) == era {
			return c, true
		}
	}
	return Change{}, false
}

// kept tells whether the stream still had a publication at the end.
func (l *ledger) kept(p *Publication) bool {
	era := l.last(p.stream())
	_, purged := l.purge(p.stream(), era, p.Seq)
	return l.in(p, era) && !purged
}

// between are the acknowledged publications of a channel in an era, with
// sequences above from and up to to.
func (l *ledger) between(channel string, era int, from, to uint64) []*Publication {
	key := shelf{channel, era}
	list, ok := l.lists[key]
	if !ok {
		for _, p := range l.of[channel] {
			if l.in(p, era) {
				list = append(list, p)
			}
		}
		slices.SortFunc(list, func(a, b *Publication) int { return cmp.Compare(a.Seq, b.Seq) })
		l.lists[key] = list
	}
	low := sort.Search(len(list), func(i int) bool { return list[i].Seq > from })
	high := sort.Search(len(list), func(i int) bool { return list[i].Seq > to })
	if high < low {
		return nil
	}
	return list[low:high]
}

// changed tells whether a stream's history was altered in a way that a client
// with a position of one epoch can be told of at a time, with another epoch.
func (l *ledger) changed(s position.Stream, from, to string, at time.Duration) bool {
	was, ok := l.labels[s][from]
	if !ok {
		return true // of an older stream, by all that can be known
	}
	for _, c := range l.changes[s] {
		// Gateways that find out at the same time may each give it another epoch.
		if c.What != Purged && c.From <= at && (was.first < c.From || l.labels[s][to].first <= c.To+Seen) {
			return true
		}
	}
	return false
}

// expired tells whether what comes next after a position was purged before at.
func (l *ledger) expired(s position.Stream, m position.Mark, at time.Duration) bool {
	for _, c := range l.changes[s] {
		if c.What == Purged && c.From <= at && m.Seq+1 < c.First && l.eraAt(s, c.From) == l.labels[s][m.Epoch].era {
			return true
		}
	}
	return false
}

// restless tells whether gateways may have been learning, at some time between
// two, that a stream has another history.
func (l *ledger) restless(s position.Stream, from, to time.Duration) bool {
	for _, c := range l.changes[s] {
		if c.What != Purged && c.From <= to && c.To+Seen >= from {
			return true
		}
	}
	return false
}

// streams are the streams that a client reads.
func (c *Client) streams() (list []position.Stream) {
	for _, s := range position.All() {
		if slices.ContainsFunc(c.Channels, func(name string) bool { return position.Of(name) == s }) {
			list = append(list, s)
		}
	}
	return list
}

func (c *Client) reads(channel string) bool { return slices.Contains(c.Channels, channel) }

// list joins words.
func list(words []string) string { return strings.Join(words, ", ") }
