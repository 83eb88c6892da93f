package ask

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// A Line lets so many questions go to the backend at a time; the others wait,
// the oldest in front.
//
// A question whose time is over, or that is given up, keeps its place while the
// backend may still be at it: until its answer comes after all, or for a timeout
// more. So a backend that is late is not asked more and more at a time by
// clients that come again.
type Line struct {
	bus Requester

	mu         sync.Mutex // guards the following, and each question's state
	timeout    time.Duration
	concurrent int
	running    int       // questions that were sent and that the backend may be at
	asked      list.List // of *question, those of them that are waited for; who is late first in front
	waiting    list.List // of *question, those that wait; the oldest in front
	alarm      *time.Timer
	alarmAt    time.Time // zero where none is set; it may be earlier than needed
}

// NewLine makes a line to this bus, with a timeout for each question, its wait
// included, and a bound for those under way.
func NewLine(b Requester, timeout time.Duration, concurrent int) *Line {
	l := &Line{bus: b, timeout: timeout, concurrent: concurrent}
	l.alarm = time.AfterFunc(time.Hour, l.rung)
	l.alarm.Stop()
	return l
}

// Ask sends msg when its turn has come, and calls done exactly once unless
// cancel returned true before: with the reply, or with an error that Failure
// understands. cancel may be called at any time and takes the question out of
// the line. msg is kept, for a timeout longer than the question's own at most,
// and must not change.
func (l *Line) Ask(msg *nats.Msg, done func(*nats.Msg, error)) (cancel func() bool) {
	q := &question{msg: msg, done: done}
	l.mu.Lock()
	q.made = time.Now()
	q.place = l.waiting.PushBack(q)
	l.mu.Unlock()
	l.advance()
	return func() bool { return l.cancel(q) }
}

// SetLimits takes over a new timeout and a new bound. Questions in line get the
// new timeout, those that were sent keep theirs.
func (l *Line) SetLimits(timeout time.Duration, concurrent int) {
	l.mu.Lock()
	l.timeout, l.concurrent = timeout, concurrent
	l.mu.Unlock()
	l.advance()
}

// Load is how many questions the backend may be at, and how many wait in line
// behind them.
func (l *Line) Load() (underWay, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.waiting.Len()
}

// A question waits in line, then is sent, then is over: answered, late or given
// up.
type question struct {
	msg  *nats.Msg
	made time.Time
	done func(*nats.Msg, error)

	state state
	until time.Time     // when it is late, once it is sent
	place *list.Element // in the list of its state
}

type state uint8

const (
	waiting state = iota
	sent
	over
)

// advance moves the line as far as it goes: sends what there is room for, and
// tells those whose time is over. It is called after every change of the line,
// and by the alarm.
func (l *Line) advance() {
	for {
		now := time.Now()
		l.mu.Lock()
		q, late := l.late(now)
		if q == nil {
			q = l.next(now)
		}
		if q == nil {
			l.wake()
			l.mu.Unlock()
			return
		}
		patience := q.until.Sub(now) + l.timeout
		l.mu.Unlock()
		if late != nil {
			q.done(nil, late)
		} else {
			l.bus.Request(q.msg, patience, func(reply *nats.Msg, err error) { l.answered(q, reply, err) })
		}
	}
}

var errInLine = errors.New("waited in line for all its time: the backend is slow, or auth.concurrent too low")

// The following are called with l.mu held.

// late takes out one whose time is over, and says how. All in line have the
// same timeout, so the first is the first to be late.
func (l *Line) late(now time.Time) (*question, error) {
	if q := front(&l.asked); q != nil && !now.Before(q.until) {
		l.asked.Remove(q.place)
		q.state = over
		return q, bus.ErrTimeout
	}
	if q := front(&l.waiting); q != nil && now.Sub(q.made) >= l.timeout {
		l.waiting.Remove(q.place)
		q.state = over
		return q, errInLine
	}
	return nil, nil
}

// next takes the first of the line for being sent, if there is room for it.
func (l *Line) next(now time.Time) *question {
	q := front(&l.waiting)
	if q == nil || l.running >= l.concurrent {
		return nil
	}
	l.waiting.Remove(q.place)
	l.running++
	q.state, q.until = sent, q.made.Add(l.timeout)
	before := l.asked.Back()
	for before != nil && before.Value.(*question).until.After(q.until) { // the timeout was changed
		before = before.Prev()
	}
	if before == nil {
		q.place = l.asked.PushFront(q)
	} else {
		q.place = l.asked.InsertAfter(q, before)
	}
	return q
}

// wake sees to it that the alarm rings when the next one is late.
func (l *Line) wake() {
	var at time.Time
	if q := front(&l.asked); q != nil {
		at = q.until
	}
	if q := front(&l.waiting); q != nil {
		if until := q.made.Add(l.timeout); at.IsZero() || until.Before(at) {
			at = until
		}
	}
	if at.IsZero() || !l.alarmAt.IsZero() && !at.Before(l.alarmAt) {
		return
	}
	l.alarmAt = at
	l.alarm.Reset(time.Until(at))
}

func front(l *list.List) *question {
	if e := l.Front(); e != nil {
		return e.Value.(*question)
	}
	return nil
}

func (l *Line) rung() {
	l.mu.Lock()
	l.alarmAt = time.Time{}
	l.mu.Unlock()
	l.advance()
}

// answered is called by the bus, once for each question that was sent.
func (l *Line) answered(q *question, reply *nats.Msg, err error) {
	l.mu.Lock()
	l.running--
	wanted := q.state == sent
	if wanted {
		l.asked.Remove(q.place)
		q.state = over
	}
	l.mu.Unlock()
	if wanted {
		q.done(reply, err)
	}
	l.advance()
}

// cancel gives a question up. It returns false when done was or will be called.
func (l *Line) cancel(q *question) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch q.state {
	case waiting:
		l.waiting.Remove(q.place)
	case sent:
		l.asked.Remove(q.place)
	case over:
		return false
	}
	q.state = over
	return true
}
