package journal

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
	"belfry/internal/hub"
	"belfry/internal/position"
)

const (
	// maxBatch keeps one batch from holding back what follows it.
	maxBatch = 1024
	// pollBatch is how many messages are asked for at a time.
	pollBatch = 500
)

// A pace is how often things are done; only tests have another than usual.
type pace struct {
	tail    time.Duration // between two looks at the stream's end
	beat    time.Duration // between two heartbeats of the consumer
	silence time.Duration // without any of them, and the consumer is lost
	api     time.Duration // for creating a consumer
	check   time.Duration // between two checks of the epoch
	settle  time.Duration // how long a leader may say that less is stored than was applied
	jitter  time.Duration // within which the gateways that want to rotate an epoch spread
}

var usual = pace{
	tail:    250 * time.Millisecond,
	beat:    500 * time.Millisecond,
	silence: 1500 * time.Millisecond,
	api:     500 * time.Millisecond,
	check:   10 * time.Second,
	settle:  time.Second,
	jitter:  250 * time.Millisecond,
}

// A sequencer brings one stream's messages to ring and hub: each sequence once,
// in order. Its goroutine, run, is the only one that does, and owns what is
// below "run's". Two more wait for NATS in its place: read polls, watch checks.
type sequencer struct {
	source
	bus   *bus.Bus
	api   string // prefix of the JetStream API
	hub   Hub
	log   *slog.Logger
	pace  pace
	ring  *ring
	fetch *fetcher

	created  chan created
	polls    chan poll // one at a time, as are checks
	polled   chan polled
	checks   chan question
	verdicts chan verdict
	back     chan struct{} // NATS was away
	poke     chan struct{} // somebody waits for a check
	ended    chan struct{}

	// follows is told of a new epoch before the hub is, with where it begins to
	// differ from the one before; nil for nobody.
	follows  func(before string, m position.Mark)
	outdated atomic.Bool // a newer layout has been told of

	// run's
	at       uint64 // the last sequence taken, those in entries included
	applied  uint64 // the last one that ring and hub have
	entries  []entry
	batch    []hub.Publication
	spell    *speller
	feed     feed
	held     *nats.Msg // of the feed, behind a hole that is being read
	history  uint64    // counts the stream's epochs; a poll of another one is void
	polling  bool
	again    bool // poll once more when this poll is back
	moved    bool // since the last tick
	resting  bool // till the next tick: a hole could not be read
	checking bool
	recheck  bool // check once more when this check is back
	due      time.Time
	// trusted is the last sequence taken from the stream as it was when it was
	// last found to be the one we know, or while the same consumer went on living:
	// the history up to there is the one to compare with. verified says that there
	// is such a consumer.
	trusted  uint64
	verified bool
	// vouched is the last sequence of which the consumer said that it was there,
	// when it said so: what polls brought meanwhile may be of another history.
	vouched uint64
	// seams are sequences at which another history may have begun: what was taken
	// up to there came before NATS or the consumer was lost, what is above it
	// after that. A check compares at each, as the newest that was taken may be of
	// the other history already. The check under way compares at the first asked of
	// them.
	seams   []uint64
	asked   int
	doubt   time.Time // since when the leader has had less than we applied
	owed    bool      // the epoch is to be rotated and could not be
	anchors []known   // the newest messages taken, in a ring that begins at oldest
	oldest  int
	told    map[string]string

	mu      sync.Mutex // guards the following
	view    view
	waiting []func(view, error) // for the next check
	over    bool                // nobody checks any more

	stats counters
}

// A view is what others may know of a sequencer.
type view struct {
	epoch     string
	watermark uint64
	first     uint64 // the stream's, when it was last checked; at least 1
	last      uint64 // the same
	oldest    int64  // when first was stored, ns since 1970; 0 for an empty stream
}

// begin is before everything that is retained, end behind everything that was
// read.
func (v view) begin() position.Mark { return position.Mark{Epoch: v.epoch, Seq: v.first - 1} }
func (v view) end() position.Mark   { return position.Mark{Epoch: v.epoch, Seq: v.watermark} }

func newSequencer(s source, b *bus.Bus, api string, h Hub, f *fetcher, r *ring, log *slog.Logger, p pace) *sequencer {
	log = log.With("stream", s.name)
	return &sequencer{
		source: s, bus: b, api: api, hub: h, log: log, pace: p, ring: r, fetch: f,
		created:  make(chan created, 16),
		polls:    make(chan poll, 1),
		polled:   make(chan polled, 1),
		checks:   make(chan question, 1),
		verdicts: make(chan verdict, 1),
		back:     make(chan struct{}, 1),
		poke:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
		spell:    newSpeller(s, log),
		feed:     feed{in: make(chan *nats.Msg, waiting)},
		told:     map[string]string{},
	}
}

// run is the sequencer's goroutine.
func (s *sequencer) run(ctx context.Context) {
	defer close(s.ended)
	defer s.closeFeed()
	tick := time.NewTicker(s.pace.tail)
	defer tick.Stop()
	s.openFeed()
	s.poll()
	s.check()
	for {
		in := s.feed.in
		if s.held != nil {
			in = nil
		}
		select {
		case m := <-in:
			s.receive(m)
		case p := <-s.polled:
			s.onPolled(p)
		case v := <-s.verdicts:
			s.onVerdict(v)
		case c := <-s.created:
			s.feedCreated(c)
		case <-s.back:
			s.feedLost()
		case <-s.poke:
			s.check()
		case <-tick.C:
			s.tick(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// tick sees to it that nothing waits for a consumer that says nothing.
func (s *sequencer) tick(now time.Time) {
	s.resting = false
	if !s.moved {
		s.poll()
	}
	s.moved = false
	switch {
	case s.feed.up && now.Sub(s.feed.life) > s.pace.silence:
		s.feedLost()
	case !s.feed.up && !s.feed.asked:
		s.openFeed()
	}
	if !s.checking && (now.After(s.due) || !s.doubt.IsZero()) {
		s.check()
	}
}

// receive takes a message of the feed and what waits behind it.
func (s *sequencer) receive(m *nats.Msg) {
	s.feed.life = time.Now()
	for n := min(len(s.feed.in)+1, maxBatch); ; {
		s.offer(m)
		if n--; n == 0 || s.held != nil {
			break
		}
		m = <-s.feed.in // does not block: nobody else takes from it
	}
	if s.apply() {
		s.stats.consumed.Add(1)
	}
	if s.verified {
		s.trusted = max(s.trusted, min(s.vouched, s.at))
	}
}

// maxSeams bounds what one check compares.
const maxSeams = 32

// seam is called before something is taken that another history may have.
func (s *sequencer) seam() {
	switch n := len(s.seams); {
	case n > s.asked && s.seams[n-1] == s.at:
	case n >= s.asked+maxSeams: // who reads so much is given a bound, at the price of some places in the middle
		s.seams[n-1] = s.at
	default:
		s.seams = append(s.seams, s.at)
	}
}

// offer takes a message if it is the next one. If it is behind a hole it is
// held, and the hole is read.
func (s *sequencer) offer(m *nats.Msg) {
	if m.Sub != s.feed.sub {
		return // of a consumer that was given up
	}
	if m.Reply == "" {
		s.status(m)
		return
	}
	seq, at, ok := place(m.Reply)
	switch {
	case !ok || seq <= s.at:
	case seq == s.at+1:
		got := newMessage(seq, at, m.Subject, m.Header, m.Data)
		s.take(&got)
		s.vouched = seq
	case !s.resting:
		s.held = m
		s.stats.holes.Add(1)
		s.poll()
	}
}

// status reads what the consumer says when it has no message.
func (s *sequencer) status(m *nats.Msg) {
	switch m.Header.Get("Status") {
	case "100": // idle: which of the stream's messages was the last it sent
		last, err := parseSeq(m.Header.Get("Nats-Last-Stream"))
		if err != nil {
			return
		}
		s.vouched = max(s.vouched, last)
		if last > s.at && !s.resting {
			s.poll()
		}
	default:
		if s.feed.up {
			s.feedLost()
		}
	}
}

// take puts a message into the batch; it is the next one that there is.
func (s *sequencer) take(m *message) {
	s.at = m.seq
	s.remember(m)
	if m.marker {
		return
	}
	channel, ok := s.spell.channel(m.subject)
	if !ok {
		return
	}
	class := hub.Classify(m.data)
	s.entries = append(s.entries, entry{seq: m.seq, time: m.time, expires: m.expires, channel: channel, class: class, payload: m.data})
	s.batch = append(s.batch, hub.Publication{
		Channel: channel, Payload: m.data, Class: class, Stream: s.id, Epoch: s.view.epoch, Seq: m.seq, Expires: m.expires,
	})
}

// apply hands on what has been taken: to the ring first, so that whoever is told
// of a publication by the hub finds it there.
func (s *sequencer) apply() bool {
	if s.applied == s.at {
		return false
	}
	s.ring.apply(s.entries, s.at)
	s.setWatermark()
	if len(s.batch) > 0 {
		s.hub.Publish(s.batch)
		s.stats.publications.Add(uint64(len(s.batch)))
		s.stats.handover.Observe(time.Since(time.Unix(0, s.entries[0].time))) // the oldest of them
	}
	if n := len(s.batch); n == 0 || s.batch[n-1].Seq < s.at {
		s.hub.Advance(s.id, position.Mark{Epoch: s.view.epoch, Seq: s.at})
	}
	clear(s.entries) // keeps no payload alive
	clear(s.batch)
	s.entries, s.batch = s.entries[:0], s.batch[:0]
	s.applied, s.moved = s.at, true
	return true
}

func (s *sequencer) setView(v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
}

func (s *sequencer) setWatermark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.watermark = s.at
	s.view.last = max(s.view.last, s.at)
}

// look returns the view. The sequencer's own goroutine, which alone changes it,
// reads it without the lock.
func (s *sequencer) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// quiet logs an error once, until there is another one or it is over.
func (s *sequencer) quiet(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch before := s.told[what]; {
	case before == text:
	case err == nil:
		s.log.Info("the stream is read again as it should be", "what", what)
	default:
		s.log.Warn("reading the stream is not as it should be, trying on", "what", what, "err", err)
	}
	s.told[what] = text
}
