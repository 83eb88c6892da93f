package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"belfry/internal/verify/judge"
)

// people are the users, their channels and their clients.
type people struct {
	rec      *record
	prefix   string // of all their names: no run meets another's
	users    []string
	channels []string
	reads    map[string][]string // shared channels, by user
	clients  []*client
}

// shared is which part of the publications goes to shared channels: one of so
// many.
const shared = 10

func newPeople(r *run) *people {
	rng := seeded(r.Seed, 1)
	p := &people{rec: r.rec, prefix: fmt.Sprintf("v%x-%x", r.Seed, time.Now().Unix()), reads: map[string][]string{}}
	for i := range r.Users {
		p.users = append(p.users, fmt.Sprintf("%s-%d", p.prefix, i))
	}
	if r.Tokens != nil { // of a backend that says itself who reads what
		p.users = nil
		for user := range r.Tokens {
			p.users = append(p.users, user)
		}
		slices.Sort(p.users)
	} else {
		for i := range r.Channels {
			p.channels = append(p.channels, fmt.Sprintf("%s-news-%d", p.prefix, i))
		}
	}
	for i, user := range p.users {
		p.user(r, rng, i, user)
	}
	return p
}

// user makes a user's clients: of ten users, six have EventSource, one to three
// of them; two have one messagechannel, one two that share a cursor, and one two
// devices.
func (p *people) user(r *run, rng *rand.Rand, i int, user string) {
	switch i % 10 {
	case 6, 7:
		p.add(r, user, messageChannel, "").Alone = true
	case 8:
		p.add(r, user, messageChannel, "")
		p.add(r, user, messageChannel, "")
	case 9:
		p.add(r, user, messageChannel, "phone").Alone = true
		p.add(r, user, messageChannel, "tablet").Alone = true
	default:
		for _, channel := range p.channels {
			if rng.IntN(4) == 0 {
				p.reads[user] = append(p.reads[user], channel)
			}
		}
		for range 1 + max(0, rng.IntN(5)-2) {
			p.add(r, user, eventSource, "").Position = true
		}
	}
}

func (p *people) add(r *run, user string, d dialect, device string) *judge.Client {
	n := uint64(len(p.clients))
	token := tokenForm + user
	if r.Tokens != nil {
		token = r.Tokens[user]
	}
	c := &client{
		rec: p.rec, rng: seeded(r.Seed, 1_000_000+n), targets: r.system.targets, token: token, device: device, dialect: d,
		life: 4 * time.Second, settling: &r.settling, latest: map[string]came{},
		history: &judge.Client{Name: fmt.Sprint(n), User: user, Channels: append([]string{"#" + user}, p.reads[user]...)},
	}
	c.patient = n%2 == 0
	if n%7 == 0 {
		c.life = 20 * time.Second
	}
	p.clients = append(p.clients, c)
	return c.history
}

// granted are the channels that a user reads beside the personal one.
func (p *people) granted(user string) []string { return p.reads[user] }

// pick is a channel to publish on.
func (p *people) pick(rng *rand.Rand) string {
	if len(p.channels) > 0 && rng.IntN(shared) == 0 {
		return p.channels[rng.IntN(len(p.channels))]
	}
	return "#" + p.users[rng.IntN(len(p.users))]
}

// have tells whether every client has the newest of each of its channels; of a
// user whose clients share a cursor, one of them.
func (p *people) have() bool {
	has := map[string]bool{}
	for _, c := range p.clients {
		key := c.history.Name
		if !c.history.Position && !c.history.Alone {
			key = c.history.User
		}
		all := true
		for _, channel := range c.history.Channels {
			last := p.rec.last(channel)
			all = all && (last == "" || c.got(channel) == last)
		}
		has[key] = has[key] || all
	}
	for _, yes := range has {
		if !yes {
			return false
		}
	}
	return true
}
