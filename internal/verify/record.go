package verify

import (
	"fmt"
	"sync"
	"time"

	"belfry/internal/position"
	"belfry/internal/verify/judge"
)

// A record is what happened, as it happens.
type record struct {
	begun time.Time
	say   func(string)

	mu           sync.Mutex // guards the following
	publications []*judge.Publication
	newest       map[string]*judge.Publication // by channel: acknowledged last
	changes      []judge.Change
	away         []judge.Span
	notes        []judge.Note
	counts       map[string]int
	recoveries   []Recovery
	spells       []*spell
	leaders      []time.Duration // when there was one again
}

func newRecord(say func(string)) *record {
	return &record{begun: time.Now(), say: say, newest: map[string]*judge.Publication{}, counts: map[string]int{}, recoveries: []Recovery{}}
}

// now is how long ago the run began.
func (r *record) now() time.Duration { return time.Since(r.begun) }

// note tells what happened to the system.
func (r *record) note(format string, args ...any) {
	n := judge.Note{At: r.now(), Text: fmt.Sprintf(format, args...)}
	r.mu.Lock()
	r.notes = append(r.notes, n)
	r.mu.Unlock()
	r.say(fmt.Sprintf("%8.3fs %s", n.At.Seconds(), n.Text))
}

// count counts what has a name: faults by kind, and the like.
func (r *record) count(name string) {
	r.mu.Lock()
	r.counts[name]++
	r.mu.Unlock()
}

func (r *record) isAway(from time.Duration) {
	r.mu.Lock()
	r.away = append(r.away, judge.Span{From: from, To: r.now()})
	r.mu.Unlock()
}

func (r *record) changed(c judge.Change) {
	r.mu.Lock()
	r.changes = append(r.changes, c)
	r.mu.Unlock()
}

// era is a stream's: how often its sequences have begun anew.
func (r *record) era(s position.Stream) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	era := 0
	for _, c := range r.changes {
		if c.Stream == s && c.What != judge.Purged {
			era++
		}
	}
	return era
}

func (r *record) published(p *judge.Publication) {
	r.mu.Lock()
	r.publications = append(r.publications, p)
	r.mu.Unlock()
}

func (r *record) acknowledged(p *judge.Publication, seq uint64, era, tries int) {
	r.mu.Lock()
	p.Acked, p.Seq, p.Era, p.Tries = r.now(), seq, era, tries
	if n := r.newest[p.Channel]; n == nil || p.Era > n.Era || p.Era == n.Era && p.Seq > n.Seq {
		r.newest[p.Channel] = p
	}
	r.mu.Unlock()
}

// last is the id of a channel's newest publication, "" for none.
func (r *record) last(channel string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.newest[channel]; p != nil {
		return p.ID
	}
	return ""
}

func (r *record) recovered(v Recovery) {
	r.mu.Lock()
	v.Stored = len(r.publications)
	r.recoveries = append(r.recoveries, v)
	r.mu.Unlock()
}

// led notes that NATS has a leader again.
func (r *record) led() {
	r.mu.Lock()
	r.leaders = append(r.leaders, r.now())
	r.mu.Unlock()
}

// A spell is how long something was harmed.
type spell struct {
	fault
	from, to time.Duration // to 0: it still is
}

// suffers notes that a fault was done; over, that it is undone.
func (r *record) suffers(f fault) (over func()) {
	s := &spell{fault: f, from: r.now()}
	r.mu.Lock()
	r.spells = append(r.spells, s)
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		s.to = r.now()
		r.mu.Unlock()
	}
}

// beside are the other faults that there were at some time since then.
func (r *record) beside(f fault, since time.Duration) (others []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spells {
		if s.fault != f && (s.to == 0 || s.to > since) {
			others = append(others, s.String())
		}
	}
	return others
}

// unheard is when gateways were not told of their connections' ends.
func (r *record) unheard() (list []judge.Unheard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spells {
		if s.kind == forgetClients {
			list = append(list, judge.Unheard{Gateway: fmt.Sprint("gateway ", s.part+1), Span: judge.Span{From: s.from, To: s.to}})
		}
	}
	return list
}
