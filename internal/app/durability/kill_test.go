package durability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belfry/internal/app/apptest"
)

// 1,000 publications, 200 EventSources that move between two gateways at random,
// while the gateways are killed: none lost, none twice, in order.
func TestEventSourceAcrossGatewayKills(t *testing.T) {
	t.Parallel()
	const clients, users, publications, rounds = 200, 50, 1000, 8
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	gateways := []*gateway{launch(t, n.URL(), "BELFRY_CHANNELS_PUBLIC=news"), launch(t, n.URL(), "BELFRY_CHANNELS_PUBLIC=news")}
	var public [2]atomic.Value // where each one is
	for i, g := range gateways {
		public[i].Store(g.at.Public)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 2*apptest.Patience)
	defer cancel()
	var started, running sync.WaitGroup
	all := make([]*nomad, clients)
	for i := range all {
		all[i] = &nomad{user: fmt.Sprint(i % users), started: started.Done, got: map[string][]string{}}
		started.Add(1)
		running.Go(func() {
			all[i].roam(ctx, func() string { return public[rand.N(2)].Load().(string) })
		})
	}
	started.Wait()

	s := openStore(t, n.URL())
	want := map[string][]string{}
	publish := func(count int) {
		for range count {
			channel, subject := "news", "channel.news"
			if rand.N(2) == 0 {
				channel = fmt.Sprint(rand.N(users))
				subject = "notification." + channel
			}
			text := fmt.Sprintf("%s %d", channel, len(want[channel]))
			s.put(subject, text)
			want[channel] = append(want[channel], text)
		}
	}
	for round := range rounds {
		publish(publications / rounds / 2)
		g := gateways[round%2]
		g.kill()
		publish(publications / rounds / 2)
		g.start()
		public[round%2].Store(g.at.Public)
	}
	publish(publications - rounds*(publications/rounds/2)*2)
	for user := range users {
		s.put(fmt.Sprintf("notification.%d", user), lastWord)
	}
	s.put("channel.news", lastWord)
	running.Wait()

	moves, failures := 0, 0
	for i, c := range all {
		moves, failures = moves+c.moves, failures+c.failures
		if c.err != nil {
			t.Errorf("client %d: %v", i, c.err)
		}
		for channel, event := range map[string]string{c.user: "", "news": "channel.news"} {
			if got, want := c.got[event], append(slices.Clone(want[channel]), lastWord); !slices.Equal(got, want) {
				t.Errorf("client %d, user %s, %q: %s", i, c.user, event, difference(got, want))
			}
		}
	}
	t.Logf("the clients moved %d times, and were refused or cut off %d times", moves, failures)
	if moves < 2*clients {
		t.Errorf("the clients moved %d times, which is next to nothing", moves)
	}
}

const lastWord = "last"

// A nomad is an EventSource that goes to another gateway after some blocks, with
// the id that it saw last.
type nomad struct {
	user            string
	started         func() // called with the first position
	lastID          string
	got             map[string][]string // by event
	moves, failures int
	err             error // what must not be
}

// roam goes on until the client has seen the last word of both channels.
func (c *nomad) roam(ctx context.Context, where func() string) {
	for c.err == nil && !c.sated() {
		if ctx.Err() != nil {
			c.err = fmt.Errorf("not within the time: has %d and %d, last id %q", len(c.got[""]), len(c.got["channel.news"]), c.lastID)
			break
		}
		if err := c.stay(ctx, where(), 1+rand.N(100)); err != nil {
			c.failures++
			select { // as a browser that was told retry:
			case <-time.After(time.Duration(10+rand.N(40)) * time.Millisecond):
			case <-ctx.Done():
			}
		} else {
			c.moves++
		}
	}
	if c.lastID == "" {
		c.started()
	}
}

func (c *nomad) sated() bool {
	own, news := c.got[""], c.got["channel.news"]
	return len(own) > 0 && own[len(own)-1] == lastWord && len(news) > 0 && news[len(news)-1] == lastWord
}

// stay reads up to so many blocks from one gateway.
func (c *nomad) stay(ctx context.Context, public string, blocks int) error {
	ctx, cancel := context.WithTimeout(ctx, apptest.Patience)
	defer cancel()
	stream, err := apptest.OpenStream(ctx, public, url.Values{"token": {"user:" + c.user}, "channels": {"news"}}, c.lastID)
	if err != nil {
		return err
	}
	defer stream.Close()
	for range blocks {
		b, err := stream.Next()
		if err != nil {
			return err
		}
		if b.ID != "" {
			if c.lastID == "" {
				c.started()
			}
			c.lastID = b.ID
		}
		switch b.Event {
		case "", "channel.news":
			c.got[b.Event] = append(c.got[b.Event], b.Data)
		case "position":
		case "unavailable":
			return errors.New(b.Data)
		default:
			c.err = fmt.Errorf("%q", b)
			return nil
		}
		if c.sated() {
			return nil
		}
	}
	return nil
}

// difference says where two sequences differ first.
func difference(got, want []string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	part := func(s []string) []string { return s[min(i, len(s)):min(i+5, len(s))] }
	return fmt.Sprintf("got %d, want %d; the first %d are right, then got %q, want %q", len(got), len(want), i, part(got), part(want))
}

// The gateway is killed when publications are stored and nothing of them has
// been delivered: clients without positions get all of them from the next one,
// each once and in order.
func TestKilledBetweenPublishAndDelivery(t *testing.T) {
	t.Parallel()
	const clients, missed = 20, 50
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	g := launch(t, n.URL())
	first := make([]uint64, clients)
	for i := range clients {
		c := attach(t, g.at.Public, fmt.Sprint(i))
		first[i] = s.put(fmt.Sprintf("notification.%d", i), "first").Sequence
		c.Expect("first")
	}
	for i := range clients {
		s.awaitCursor(fmt.Sprint(i), first[i])
	}

	g.freeze()
	for i := range clients {
		s.put(fmt.Sprintf("notification.%d", i), texts("missed", missed)...)
	}
	g.kill()
	g.start()
	for i := range clients {
		c := attach(t, g.at.Public, fmt.Sprint(i))
		c.Expect(texts("missed", missed)...)
		s.put(fmt.Sprintf("notification.%d", i), "live")
		c.Expect("live")
	}
}

// A gateway with its own NATS is killed behind an ack: what was acknowledged is
// there after the restart, for both dialects.
func TestKilledWithItsOwnNATS(t *testing.T) {
	t.Parallel()
	g := launch(t, "")
	var lastID string
	for round := range 3 {
		apptest.Backend(t, g.at.NATS, "")
		s := openStore(t, g.at.NATS)
		if round == 0 {
			c := attach(t, g.at.Public, "2")
			seq := s.put("notification.2", "first").Sequence
			c.Expect("first")
			s.awaitCursor("2", seq)
			lastID = apptest.Follow(t, g.at.Public, "1").Started().LastID()
		}
		s.n = 1000 * (round + 1)
		s.put("notification.1", texts(fmt.Sprint("one of round ", round), 20)...)
		s.put("notification.2", texts(fmt.Sprint("two of round ", round), 20)...)
		g.kill()
		g.start()

		apptest.Backend(t, g.at.NATS, "")
		e := apptest.Follow(t, g.at.Public, "1", "last-event-id", lastID)
		e.Expect(texts(fmt.Sprint("one of round ", round), 20)...)
		lastID = e.LastID()
		e.Close()
		c := attach(t, g.at.Public, "2")
		c.Expect(texts(fmt.Sprint("two of round ", round), 20)...)
		// Confirmed and stored, or the next round's gateway sends it again.
		s = openStore(t, g.at.NATS)
		s.awaitCursor("2", s.stream(notifications).CachedInfo().State.LastSeq)
		c.Close()
	}
}

// Clients without positions move between two gateways while these are killed:
// whoever has one connection at a time gets everything, in order; only what was
// sent in the seconds before a connection broke may come twice.
func TestMessageChannelAcrossGatewayKills(t *testing.T) {
	t.Parallel()
	const clients, rounds, each = 40, 6, 10
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	gateways := []*gateway{launch(t, n.URL()), launch(t, n.URL())}
	s := openStore(t, n.URL())
	all := make([]*apptest.Client, clients)
	for i := range all {
		all[i] = attach(t, gateways[i%2].at.Public, fmt.Sprint(i))
	}
	got := make([][]string, clients)
	var want []string
	for round := range rounds {
		texts := texts(fmt.Sprint("round ", round), each)
		want = append(want, texts...)
		g := gateways[round%2]
		for i := range clients {
			s.put(fmt.Sprintf("notification.%d", i), texts[:each/2]...)
		}
		g.kill()
		for i := range clients {
			s.put(fmt.Sprintf("notification.%d", i), texts[each/2:]...)
		}
		g.start()
		for i, c := range all { // those of the killed one come back anywhere, others stay
			if (i+round)%2 != 0 && c.Open() {
				continue
			}
			c.Cut()
			got[i] = append(got[i], rest(c)...)
			all[i] = attach(t, gateways[rand.N(2)].at.Public, fmt.Sprint(i))
		}
	}
	want = append(want, lastWord)
	for i, c := range all {
		s.put(fmt.Sprintf("notification.%d", i), lastWord)
		for len(got[i]) == 0 || got[i][len(got[i])-1] != lastWord {
			got[i] = append(got[i], c.Next())
		}
		if once := onceEach(got[i]); !slices.Equal(once, want) {
			t.Errorf("client %d: %s", i, difference(once, want))
		}
	}
}

// rest is what a client whose connection is gone has got and Next has not
// returned.
func rest(c *apptest.Client) (texts []string) {
	for {
		text, err := c.TryNext(apptest.Patience)
		if err != nil {
			return texts
		}
		texts = append(texts, text)
	}
}

// onceEach leaves out what came before: a client that is sent something again
// is sent all that followed it again.
func onceEach(texts []string) (once []string) {
	seen := map[string]bool{}
	for _, text := range texts {
		if !seen[text] {
			once = append(once, text)
		}
		seen[text] = true
	}
	return once
}
