package journal

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
	"belfry/internal/position"
)

const (
	// askNewest bounds one question about how many messages a subject has, and
	// asksNewest how often it is asked.
	askNewest  = 2 * time.Second
	asksNewest = 3
	// searches is how many at once look for where a user's newest publications
	// begin: each is some twenty questions, and answered from old blocks.
	searches = 8
)

// newest finds the sequence behind which a channel has its newest publications,
// at most n of them and all if it has fewer. done is called once, at once or
// from another goroutine.
//
// The ring is asked first, then how many the stream has at all. Only where
// those are more than n is their start searched, by how many are pending behind
// a sequence: there is no index that goes backwards.
func (j *Journal) newest(s *sequencer, channel string, n int, done func(after position.Mark, err error)) {
	v := s.look()
	low, seqs := s.ring.low(), s.ringOf(channel, v)
	switch subj, err := s.subject(channel); {
	case n <= 0:
		done(v.end(), nil)
	case len(seqs) >= n:
		done(position.Mark{Epoch: v.epoch, Seq: seqs[len(seqs)-n] - 1}, nil)
	case low < v.first:
		done(v.begin(), nil)
	case err != nil:
		done(position.Mark{}, err)
	default:
		q := &search{j: j, s: s, subject: subj, n: uint64(n), low: v.first, high: low + 1, done: func(after uint64, err error) {
			done(position.Mark{Epoch: v.epoch, Seq: after}, err)
		}}
		q.ask(q.low, q.onAll)
	}
}

// ringOf are the sequences of a channel that are in the ring.
func (s *sequencer) ringOf(channel string, v view) (seqs []uint64) {
	channels := []string{channel}
	for after := max(s.ring.low(), v.first-1); after < v.watermark; {
		batch, next, ok := s.ring.recent(channels, after, v.watermark, 1<<30)
		if !ok || next <= after {
			return seqs
		}
		for i := range batch {
			seqs = append(seqs, batch[i].Seq)
		}
		after = next
	}
	return seqs
}

// A search bisects for the lowest sequence from which on a subject has at most n
// messages: it is above low, and not above high.
type search struct {
	j         *Journal
	s         *sequencer
	subject   string
	n         uint64
	low, high uint64
	tries     int
	done      func(uint64, error)
}

// onAll is told how many there are in all.
func (q *search) onAll(count uint64, err error) {
	if err != nil || count <= q.n {
		q.done(q.low-1, err)
		return
	}
	q.j.searches.begin(q.step)
}

// step halves what is left.
func (q *search) step() {
	if q.low+1 >= q.high {
		q.j.searches.end()
		q.done(q.high-1, nil)
		return
	}
	middle := q.low + (q.high-q.low)/2
	q.ask(middle, func(count uint64, err error) {
		switch {
		case err != nil:
			q.j.searches.end()
			q.done(0, err)
			return
		case count <= q.n:
			q.high = middle
		default:
			q.low = middle
		}
		q.step()
	})
}

// ask tells then how many messages the subject has from a sequence on.
func (q *search) ask(from uint64, then func(count uint64, err error)) {
	text, err := json.Marshal(struct {
		Seq     uint64 `json:"seq"`
		Subject string `json:"next_by_subj"`
		Batch   int    `json:"batch"`
	}{from, q.subject, 1})
	if err != nil {
		then(0, err)
		return
	}
	msg := &nats.Msg{Subject: q.s.api + "DIRECT.GET." + q.s.name, Data: text}
	q.s.bus.Request(msg, askNewest, func(m *nats.Msg, err error) {
		if err == nil {
			q.tries = 0
			if readable(m) {
				then(pending(m))
			} else {
				q.pass(from, then)
			}
			return
		}
		if q.tries++; q.tries < asksNewest {
			q.ask(from, then)
			return
		}
		then(0, fmt.Errorf("ask how much stream %s has on a subject: %w", q.s.name, err))
	})
}

// pass is ask where the first of the messages can't be read: it is found by the
// leader, and what is behind it counted.
func (q *search) pass(from uint64, then func(count uint64, err error)) {
	msg := &nats.Msg{Subject: q.s.api + "STREAM.MSG.GET." + q.s.name, Data: getRequest{Seq: from, Next: q.subject}.bytes()}
	q.s.bus.Request(msg, askNewest, func(m *nats.Msg, err error) {
		var found struct {
			Error   *jetstream.APIError `json:"error"`
			Message struct {
				Seq uint64 `json:"seq"`
			} `json:"message"`
		}
		if err == nil {
			err = json.Unmarshal(m.Data, &found)
		}
		if err == nil && found.Error != nil && found.Error.ErrorCode != codeNoMessage {
			err = found.Error
		}
		switch seq := found.Message.Seq; {
		case err != nil:
			then(0, fmt.Errorf("ask for a message of stream %s that has an unreadable header: %w", q.s.name, err))
		case seq == 0: // gone
			then(0, nil)
		default:
			q.ask(seq+1, func(count uint64, err error) { then(count+1, err) })
		}
	})
}

// pending reads how many messages there are, the one of the reply included.
func pending(m *nats.Msg) (uint64, error) {
	if !isStored(m) {
		if status := m.Header.Get(headerStatus); status != "404" {
			return 0, fmt.Errorf("%w: a direct get was answered with status %q", bus.ErrUnavailable, status)
		}
		return 0, nil
	}
	n, err := strconv.ParseUint(last(m.Header, headerNumPending), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("a direct get's answer says not how many follow: %w", err)
	}
	return n + 1, nil
}

// A line lets only so many go on at once.
type line struct {
	mu      sync.Mutex // guards the following
	running int
	waiting []func()
}

// begin calls f, at once or when another one has ended; f sees to it that end is
// called.
func (l *line) begin(f func()) {
	l.mu.Lock()
	if l.running >= searches {
		l.waiting = append(l.waiting, f)
		l.mu.Unlock()
		return
	}
	l.running++
	l.mu.Unlock()
	f()
}

func (l *line) end() {
	l.mu.Lock()
	if len(l.waiting) == 0 {
		l.running--
		l.mu.Unlock()
		return
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.mu.Unlock()
	next()
}

func (l *line) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}
