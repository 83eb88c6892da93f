package ask

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A Line lets so many questions go to the backend at a time; the others wait,
// the oldest in front.
type Line struct {
	bus Requester

	mu         sync.Mutex // guards the following, and each question's state
	timeout    time.Duration
	concurrent int
	running    int         // questions that were sent and are not over
	waiting    list.List   // of *question, those that wait; the oldest in front
	alarm      *time.Timer // for the time of the first in line, while there is one
}

// NewLine makes a line to this bus, with a timeout for each question, its wait
// included, and a bound for those under way.
func NewLine(b Requester, timeout time.Duration, concurrent int) *Line {
	l := &Line{bus: b, timeout: timeout, concurrent: concurrent}
	l.alarm = time.AfterFunc(time.Hour, l.advance)
	l.alarm.Stop()
	return l
}

// Ask sends msg when its turn has come, and calls done exactly once unless
// cancel returned true before: with the reply, or with an error that Failure
// understands. cancel may be called at any time and takes the question out of
// the line. msg is kept until done and must not change.
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

// Load is how many questions the backend has and has not answered, and how many
// wait in line behind them.
func (l *Line) Load() (underWay, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.waiting.Len()
}

// A question waits in line, then is sent, then is over. It may be given up at
// any time; one that is given up while it is sent keeps its place among the
// running until the bus has let go of it.
type question struct {
	msg  *nats.Msg
	made time.Time
	done func(*nats.Msg, error)

	state  state
	place  *list.Element // in the line, while waiting
	cancel func() bool   // the bus's, once Request has returned
}

type state uint8

const (
	waiting state = iota
	sent
	givenUp
	over
)

// advance moves the line as far as it goes: sends what there is room for, and
// tells those whose time is over. It is called after every change of the line,
// and by the alarm.
func (l *Line) advance() {
	for {
		l.mu.Lock()
		q, left := l.next(time.Now())
		l.mu.Unlock()
		switch {
		case q == nil:
			return
		case left <= 0:
			q.done(nil, errInLine)
		default:
			l.send(q, left)
		}
	}
}

var errInLine = errors.New("waited in line for all its time: the backend is slow, or auth.concurrent too low")

// next takes the first of the line out of it, if its time is over or there is
// room for it, and says how much of its time is left. Else it sets the alarm.
// All have the same timeout, so the first in line is the first to be late.
// The caller holds l.mu.
func (l *Line) next(now time.Time) (*question, time.Duration) {
	first := l.waiting.Front()
	if first == nil {
		l.alarm.Stop()
		return nil, 0
	}
	q := first.Value.(*question)
	left := l.timeout - now.Sub(q.made)
	switch {
	case left <= 0:
		q.state = over
	case l.running < l.concurrent:
		q.state = sent
		l.running++
	default:
		l.alarm.Reset(left)
		return nil, 0
	}
	l.waiting.Remove(first)
	return q, left
}

// send sends a question that next has let go.
func (l *Line) send(q *question, left time.Duration) {
	cancel := l.bus.Request(q.msg, left, func(reply *nats.Msg, err error) { l.answered(q, reply, err) })
	l.mu.Lock()
	q.cancel = cancel
	late := q.state == givenUp
	l.mu.Unlock()
	if late { // given up while it was being sent
		l.release(q)
	}
}

// answered is called by the bus, once for each question that was sent.
func (l *Line) answered(q *question, reply *nats.Msg, err error) {
	l.mu.Lock()
	wanted := q.state == sent
	q.state = over
	l.running--
	l.mu.Unlock()
	if wanted {
		q.done(reply, err)
	}
	l.advance()
}

// cancel gives a question up. It returns false when done was or will be called.
func (l *Line) cancel(q *question) bool {
	l.mu.Lock()
	before := q.state
	sentOff := before == sent && q.cancel != nil
	switch before {
	case waiting:
		l.waiting.Remove(q.place)
		q.state = over
	case sent:
		q.state = givenUp
	}
	l.mu.Unlock()
	if sentOff {
		l.release(q)
	} else if before == waiting {
		l.advance() // the alarm may have been for this one
	}
	return before == waiting || before == sent
}

// release has the bus forget a question that was given up. Where it is too late
// for that, answered follows.
func (l *Line) release(q *question) {
	if !q.cancel() {
		return
	}
	l.mu.Lock()
	q.state = over
	l.running--
	l.mu.Unlock()
	l.advance()
}
