// Package judge knows what was published and what each client got, and says
// where the promise of docs/delivery.md was broken. It does nothing else: it
// talks to nobody, and judges when all is over, so that tests can feed it with
// histories that never happened.
//
// What a client with positions is owed follows from the positions alone. A
// position says "everything up to here": so between the position that a
// connection began with and each one that it was told, every publication of its
// channels must have come, once, in order; and a client that comes back begins
// with one that it was told. Only a reset breaks that chain, and each reset must
// have a true reason.
//
// A client without positions is owed each publication on at least one of its
// user's connections, each connection in order and without a gap, and nothing
// twice but what came in the seconds before a connection broke.
package judge

import (
	"fmt"
	"time"

	"belfry/internal/position"
)

// A Kind is how the promise was broken.
type Kind string

const (
	// Lost: acknowledged, and never delivered.
	Lost Kind = "lost"
	// Gap: the client was let go on behind a publication that it had not got, and
	// not told so.
	Gap Kind = "silent gap"
	// Reordered: delivered behind one that was stored later.
	Reordered Kind = "reordered"
	// Duplicated: delivered once more, or stored twice under one message id.
	Duplicated Kind = "duplicated"
	// FalseReset: the client was told reset, and nothing had happened that would
	// be the reason.
	FalseReset Kind = "false reset"
	// Misdelivered: delivered to who does not read the channel, or not as it was
	// published.
	Misdelivered Kind = "misdelivered"
)

// Kinds are all that there are.
func Kinds() []Kind { return []Kind{Lost, Gap, Reordered, Duplicated, FalseReset, Misdelivered} }

// A Violation is one break of the promise, and the story of it.
type Violation struct {
	Kind    Kind     `json:"kind"`
	User    string   `json:"user"`
	Client  string   `json:"client"`
	Channel string   `json:"channel"`
	Seq     uint64   `json:"sequence"`
	What    string   `json:"what"`
	Story   []string `json:"story"` // what happened before, oldest first
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: user %s, client %s, channel %s, sequence %d: %s", v.Kind, v.User, v.Client, v.Channel, v.Seq, v.What)
}

// A Publication is one that was published. All times are since the run began.
type Publication struct {
	ID      string // which its payload carries
	Channel string
	Sent    time.Duration
	Acked   time.Duration // 0: it never was, and may have been stored or not
	Seq     uint64        // by the acknowledgement
	Era     int           // of its stream, when it was acknowledged
	Tries   int
}

func (p *Publication) stream() position.Stream { return position.Of(p.Channel) }

// A Change is something that was done to a stream's history. Nothing is under
// way to the stream meanwhile.
type Change struct {
	Stream   position.Stream
	What     Alteration
	From, To time.Duration
	First    uint64 // the first sequence that is kept; Restored: that the copy had
	Last     uint64 // Restored: the last one that the copy had
	Of       int    // Restored: the era that the copy was made in
}

// An Alteration is what a Change did.
type Alteration string

const (
	Purged    Alteration = "purged"     // of its messages below First
	Recreated Alteration = "re-created" // deleted and made anew, empty
	Restored  Alteration = "restored"   // from a copy of before
)

// A Span is a time in which something was so.
type Span struct{ From, To time.Duration }

// Unheard says that a gateway was not told of its connections' ends, as where a
// router forgets them: it finds out by itself.
type Unheard struct {
	Gateway string // as in Conn
	Span
}

// A Note is what happened to the system, for the stories.
type Note struct {
	At   time.Duration
	Text string
}

// A Client is one client's whole history: its connections, one after another.
type Client struct {
	Name     string
	User     string
	Alone    bool // no other client of the user shares its delivered cursor
	Position bool // it has positions
	Channels []string
	Conns    []*Conn
}

// A Conn is one connection. How tells how it ended.
type Conn struct {
	Gateway string
	Opened  time.Duration
	Closed  time.Duration // what came before it counts as received
	How     string
	Brought position.Position
	Events  []Event
}

// An Event is what a connection got.
type Event struct {
	At       time.Duration
	What     EventKind
	ID       string // Got: of the publication, from its payload
	Channel  string // Got: as the dialect says it
	Position position.Position
	Reason   string // Reset
}

// An EventKind tells what an Event is.
type EventKind uint8

const (
	Got   EventKind = iota // a publication
	Told                   // a position
	Reset                  // and its reason
)

// History is all that is judged.
type History struct {
	Publications []*Publication
	Changes      []Change  // in order of time
	Away         []Span    // when gateways could not reach NATS, or not all of it
	Unheard      []Unheard // when gateways were not told of connections' ends
	Notes        []Note    // in order of time
	Clients      []*Client
}

// A Verdict is what the judge found.
type Verdict struct {
	Violations []Violation
	// More counts the violations that are not told one by one.
	More map[Kind]int
	// Delivered counts publications as they came, those that came again too.
	Delivered int
	// Resets by reason, each with a true one unless it is among the violations.
	Resets map[string]int
	// Again counts what came twice inside the documented window to clients
	// without positions; AgainAway, of these, what did because nothing could be
	// confirmed or written while something was away.
	Again, AgainAway int
	// AgainLate counts what came again from where a connection had broken off
	// whose client was back before the gateway knew, or had written, that it had.
	AgainLate int
	// Longest is the longest time before a break from which something came again,
	// while nothing was away.
	Longest time.Duration
	// PassedOver counts what was purged while a client was being sent just that.
	PassedOver int
	// Stale counts what came under the old epoch in the seconds before a stream's
	// change was seen.
	Stale int
	// Unacked counts what was delivered and never acknowledged.
	Unacked int
}

// Wrong counts the violations.
func (v *Verdict) Wrong() int {
	n := len(v.Violations)
	for _, more := range v.More {
		n += more
	}
	return n
}

// Count is how many violations of a kind there are.
func (v *Verdict) Count(k Kind) int {
	n := v.More[k]
	for _, w := range v.Violations {
		if w.Kind == k {
			n++
		}
	}
	return n
}

const (
	// Window is how long before a break what was received may come again, to a
	// client without positions.
	Window = 7 * time.Second
	// Seen is how long it may take until gateways have seen what was done to a
	// stream: they look every 10 s; the rest is for looking.
	Seen = 13 * time.Second
	// Known is how long it may take, while all is well, until it is known and
	// written that a connection broke off, and TicketLife for how long the place
	// where it did is kept.
	Known      = 2 * time.Second
	TicketLife = 5 * time.Minute
	// FoundOut is how long it takes a gateway to find out that a connection has
	// ended of which it was not told: a ping after 25 s, and 10 s for its answer.
	FoundOut = 35 * time.Second
	// each bounds the violations of a kind that are told one by one.
	each = 20
)

// Judge says where the promise was broken.
func Judge(h *History) *Verdict {
	j := &judgement{History: h, verdict: &Verdict{More: map[Kind]int{}, Resets: map[string]int{}}, ledger: newLedger(h)}
	users := map[string]*user{}
	var order []*user
	for _, c := range h.Clients {
		if c.Position {
			newWalk(j, c).all()
			continue
		}
		key := c.User
		if c.Alone {
			key = c.User + "\x00" + c.Name
		}
		if users[key] == nil {
			users[key] = &user{judgement: j}
			order = append(order, users[key])
		}
		users[key].clients = append(users[key].clients, c)
	}
	for _, u := range order {
		u.judge()
	}
	return j.verdict
}

type judgement struct {
	*History
	ledger  *ledger
	verdict *Verdict
}

// violate writes a violation down.
func (j *judgement) violate(k Kind, c *Client, conn *Conn, at time.Duration, channel string, seq uint64, what string) {
	j.tell(k, c, channel, seq, what, func() []string { return j.story(c, conn, at) })
}

// tell is violate with another story.
func (j *judgement) tell(k Kind, c *Client, channel string, seq uint64, what string, story func() []string) {
	if j.verdict.Count(k) >= each {
		j.verdict.More[k]++
		return
	}
	j.verdict.Violations = append(j.verdict.Violations, Violation{k, c.User, c.Name, channel, seq, what, story()})
}
