package journal

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// TestHistories runs random histories: publications, clients that come, go and
// move between two gateways with small rings, messages that are removed, streams
// that are purged, made anew, rotated and restored from a copy, NATS restarted.
// Each client must get what a simple model says: everything since where it
// started, in order, once, but for what was removed; and be told reset where it
// was moved, and only there.
func TestHistories(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("12") // each takes about half a second
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	// What a failure leaves to be run again is worth nothing: time plays a part.
	_ = flag.Set("rapid.nofailfile", "true")
	w := newWorld(t)
	w.pace.check = 50 * time.Millisecond
	round := 0
	defer func() { w.fatalf = t.Fatalf }()
	rapid.Check(t, func(r *rapid.T) {
		w.fatalf = r.Fatalf
		round++
		m := newModel(w, r, fmt.Sprint("m", round))
		defer m.close()
		r.Repeat(map[string]func(*rapid.T){
			"publish":  m.publish,
			"publish ": m.publish, // more often than the others
			"burst":    m.burst,
			"connect":  m.connect,
			"connect ": m.connect,
			"leave":    m.leave,
			"read":     m.read,
			"read ":    m.read,
			"remove":   m.remove,
			"purge":    m.purge,
			"recreate": m.recreate,
			"rotate":   m.rotate,
			"copy":     m.copy,
			"restore":  m.restore,
			"restart":  m.restart,
		})
		m.finish()
	})
}

var modelChannels = []string{"#1", "#2", "#a@b", "news", "orders.eu"}

// A model is what should be, beside what is.
type model struct {
	w        *world
	r        *rapid.T
	name     string // of the stream that is tried; the other one is only published to
	gateways [2]*Journal
	hubs     [2]*recorder
	pub      *Publisher
	clients  []*modelClient
	number   int
	resets   [2]int // that the gateways had when the clients were last moved

	epochs map[position.Stream]string // the present ones
	have   map[string][]modelMessage  // by epoch
	copied *modelCopy
	buses  []interface{ Close(context.Context) error }
}

type modelMessage struct {
	seq     uint64
	channel string
	text    string
	removed bool
}

type modelCopy struct {
	dir   string
	epoch string
	have  []modelMessage
}

// A modelClient has a position and everything since it last was told to start
// anew.
type modelClient struct {
	channels []string
	at       position.Position
	since    position.Position // where it started, or was moved to
	got      map[position.Stream][]modelMessage
	gateway  int // -1: away
}

func newModel(w *world, r *rapid.T, prefix string) *model {
	m := &model{w: w, r: r, epochs: map[position.Stream]string{}, have: map[string][]modelMessage{}}
	o := w.o
	o.NATS.Prefix = prefix
	saved := w.o
	w.o = o
	defer func() { w.o = saved }()
	b := w.bus()
	m.buses = append(m.buses, b)
	m.name = b.Names().Notifications()
	w.eventually("there are streams", func() bool { return b.EnsureStreams(w.ctx()) == nil })
	m.pub = NewPublisher(b)
	for i := range m.gateways {
		m.hubs[i] = &recorder{t: w.t}
		b := w.bus()
		m.buses = append(m.buses, b)
		j, err := newJournal(b, m.hubs[i], o, w.log, w.pace, sources(b.Names()))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range j.sequencers {
			s.ring = newRing(s.id, 8, ringBytes)
		}
		w.eventually("the journal starts", func() bool {
			err := j.Start(w.ctx())
			if err != nil {
				w.t.Log(err)
			}
			return err == nil
		})
		m.gateways[i] = j
	}
	for _, s := range position.All() {
		m.epochs[s] = m.hubs[0].mark(s).Epoch
	}
	return m
}

func (m *model) close() {
	for _, j := range m.gateways {
		j.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range m.buses {
		_ = b.Close(ctx)
	}
}

func (m *model) present() []modelMessage { return m.have[m.epochs[notifications]] }

func (m *model) add(s position.Stream, msgs ...modelMessage) {
	m.have[m.epochs[s]] = append(m.have[m.epochs[s]], msgs...)
}

func (m *model) publish(*rapid.T) {
	channel := rapid.SampledFrom(modelChannels).Draw(m.r, "channel")
	m.number++
	text := fmt.Sprint("p", m.number)
	got, err := m.pub.Publish(m.w.ctx(), channel, "", []byte(text), 0)
	if err != nil {
		m.r.Fatal(err)
	}
	if got.Epoch != m.epochs[got.Stream] {
		m.r.Fatalf("published in epoch %s, want %s", got.Epoch, m.epochs[got.Stream])
	}
	m.add(got.Stream, modelMessage{got.Seq, channel, text, false})
}

func (m *model) burst(r *rapid.T) {
	for range rapid.IntRange(5, 40).Draw(r, "many") {
		m.publish(r)
	}
}

// settled waits until both gateways have read everything.
func (m *model) settled() {
	for _, s := range position.All() {
		want := position.Mark{Epoch: m.epochs[s]}
		if all := m.have[want.Epoch]; len(all) > 0 {
			want.Seq = all[len(all)-1].seq
		}
		for _, h := range m.hubs {
			m.w.reaches(h, s, want)
		}
	}
}

func (m *model) connect(r *rapid.T) {
	var c *modelClient
	if away := m.where(-1); len(away) > 0 && rapid.Bool().Draw(r, "comes back") {
		c = rapid.SampledFrom(away).Draw(r, "who")
	} else {
		c = &modelClient{gateway: -1, got: map[position.Stream][]modelMessage{}}
		for _, channel := range modelChannels {
			if rapid.Bool().Draw(r, channel) {
				c.channels = append(c.channels, channel)
			}
		}
		if len(c.channels) == 0 {
			return
		}
		m.clients = append(m.clients, c)
	}
	gateway := rapid.IntRange(0, 1).Draw(r, "gateway")
	q := hub.Query{User: "x", Channels: c.channels, Start: rapid.SampledFrom([]string{"now", "all"}).Draw(r, "start")}
	if !c.at.IsZero() {
		q.Position, q.HasPosition = c.at.String(), true
	}
	m.begin(c, gateway, q)
}

// begin has a client start, as soon as NATS is there to judge its position.
func (m *model) begin(c *modelClient, gateway int, q hub.Query) {
	var start hub.Start
	m.w.eventually("the query is resolved", func() bool {
		start = m.w.resolve(m.gateways[gateway], q)
		return start.Err == nil
	})
	c.gateway = gateway
	told := map[position.Stream]hub.ResetReason{}
	for _, reset := range start.Resets {
		told[reset.Stream] = reset.Why
	}
	for _, s := range c.streams() {
		m.judgeStart(c, s, c.at.Get(s), start.At.Get(s), told[s])
	}
}

func (m *model) judgeStart(c *modelClient, s position.Stream, brought, at position.Mark, why hub.ResetReason) {
	all := m.have[m.epochs[s]]
	last := uint64(0)
	if len(all) > 0 {
		last = all[len(all)-1].seq
	}
	first := last + 1
	for _, msg := range slices.Backward(all) {
		if !msg.removed {
			first = msg.seq
		}
	}
	wrong := at.Epoch != m.epochs[s] || at.Seq > last
	switch {
	case brought.Epoch == "":
		wrong = wrong || why != ""
	case why == "":
		wrong = wrong || at != brought
	case why == hub.ResetEpoch:
		wrong = wrong || brought.Epoch == at.Epoch
	case why == hub.ResetExpired:
		wrong = wrong || brought.Seq >= first-1
	default:
		wrong = true
	}
	if wrong {
		m.r.Fatalf("%v: a client with %v starts at %v, told %q; the epoch is %s, from %d to %d", s, brought, at, why, m.epochs[s], first, last)
	}
	if why != "" || brought.Epoch == "" {
		c.got[s], c.since = nil, c.since.With(s, at)
	}
	c.at = c.at.With(s, at)
}

func (c *modelClient) streams() (all []position.Stream) {
	for _, s := range position.All() {
		if slices.ContainsFunc(c.channels, func(ch string) bool { return position.Of(ch) == s }) {
			all = append(all, s)
		}
	}
	return all
}

func (m *model) where(gateway int) (there []*modelClient) {
	for _, c := range m.clients {
		if (c.gateway < 0) == (gateway < 0) {
			there = append(there, c)
		}
	}
	return there
}

func (m *model) leave(r *rapid.T) {
	if there := m.where(0); len(there) > 0 {
		rapid.SampledFrom(there).Draw(r, "who").gateway = -1
	}
}

func (m *model) read(r *rapid.T) {
	if there := m.where(0); len(there) > 0 {
		m.readAll(rapid.SampledFrom(there).Draw(r, "who"))
	}
}

// readAll gives a client what its gateway has, as the hub does.
func (m *model) readAll(c *modelClient) {
	for _, s := range c.streams() {
		for {
			at, now := c.at.Get(s), m.hubs[c.gateway].mark(s)
			if at.Epoch != now.Epoch || at.Seq >= now.Seq {
				break
			}
			m.readMore(c, s, at, now)
		}
		m.compare(c, s)
	}
}

func (m *model) readMore(c *modelClient, s position.Stream, at, now position.Mark) {
	var channels []string
	for _, channel := range c.channels {
		if position.Of(channel) == s {
			channels = append(channels, channel)
		}
	}
	j := m.gateways[c.gateway]
	batch, next, ok := j.Recent(s, channels, at.Seq, now.Seq, 30)
	if !ok {
		type answer struct {
			batch []hub.Publication
			next  uint64
			err   error
		}
		came := make(chan answer, 1)
		j.Older(m.w.ctx(), s, channels, at.Seq, 30, func(b []hub.Publication, n uint64, err error) { came <- answer{b, n, err} })
		a := <-came
		if a.err != nil {
			m.r.Logf("older: %v", a.err) // it has been patient itself
			return
		}
		batch, next = a.batch, a.next
	}
	if next < at.Seq || next == at.Seq && ok {
		m.r.Fatalf("%v: reading from %v to %v stands still at %d", s, at, now, next)
	}
	for _, p := range batch {
		if p.Epoch != at.Epoch {
			m.r.Fatalf("%v: %v is of another epoch than %v", s, p, at)
		}
		c.got[s] = append(c.got[s], modelMessage{p.Seq, p.Channel, string(p.Payload), false})
	}
	c.at = c.at.With(s, position.Mark{Epoch: at.Epoch, Seq: next})
}

// compare looks whether a client has what it should.
func (m *model) compare(c *modelClient, s position.Stream) {
	since, at := c.since.Get(s), c.at.Get(s)
	got := c.got[s]
	for _, msg := range m.have[at.Epoch] {
		if msg.seq <= since.Seq || msg.seq > at.Seq || !slices.Contains(c.channels, msg.channel) {
			continue
		}
		if len(got) > 0 && got[0].seq == msg.seq && got[0].text == msg.text && got[0].channel == msg.channel {
			got = got[1:]
			continue
		}
		if !msg.removed {
			m.r.Fatalf("%v: a client that started at %v and is at %v lacks %v; it has %v", s, since, at, msg, c.got[s])
		}
	}
	if len(got) > 0 {
		m.r.Fatalf("%v: a client that started at %v and is at %v has %v too many", s, since, at, got)
	}
}
