package auth

import (
	"container/list"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// A request waits in line, then is sent, then is over. It may be given up at
// any time; one that is given up while it is sent keeps its place among the
// running until the bus has let go of it.
type request struct {
	msg  *nats.Msg
	key  key
	conn string
	made time.Time
	done func(Result)

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
func (a *Authenticator) advance() {
	for {
		a.mu.Lock()
		r, left := a.next(time.Now())
		a.mu.Unlock()
		switch {
		case r == nil:
			return
		case left <= 0:
			a.conclude(r, Result{Outcome: TimedOut}, errInLine)
		default:
			a.ask(r, left)
		}
	}
}

var errInLine = errors.New("waited in line for all its time: the backend is slow, or auth.concurrent too low")

// next takes the first of the line out of it, if its time is over or there is
// room for it, and says how much of its time is left. Else it sets the alarm.
// All have the same timeout, so the first in line is the first to be late.
// The caller holds a.mu.
func (a *Authenticator) next(now time.Time) (*request, time.Duration) {
	first := a.line.Front()
	if first == nil {
		a.alarm.Stop()
		return nil, 0
	}
	r := first.Value.(*request)
	left := a.timeout - now.Sub(r.made)
	switch {
	case left <= 0:
		r.state = over
	case a.running < a.concurrent:
		r.state = sent
		a.running++
	default:
		a.alarm.Reset(left)
		return nil, 0
	}
	a.line.Remove(first)
	return r, left
}

// ask sends a request that next has let go.
func (a *Authenticator) ask(r *request, left time.Duration) {
	cancel := a.bus.Request(r.msg, left, func(reply *nats.Msg, err error) { a.answered(r, reply, err) })
	a.mu.Lock()
	r.cancel = cancel
	late := r.state == givenUp
	a.mu.Unlock()
	if late { // given up while it was being sent
		a.release(r)
	}
}

// answered is called by the bus, once for each request that was sent.
func (a *Authenticator) answered(r *request, reply *nats.Msg, err error) {
	a.mu.Lock()
	wanted := r.state == sent
	r.state = over
	a.running--
	a.mu.Unlock()
	if wanted {
		result, err := a.read(r.key, reply, err)
		a.conclude(r, result, err)
	}
	a.advance()
}

// cancel gives a request up. It returns false when done was or will be called.
func (a *Authenticator) cancel(r *request) bool {
	a.mu.Lock()
	before := r.state
	sentOff := before == sent && r.cancel != nil
	switch before {
	case waiting:
		a.line.Remove(r.place)
		r.state = over
	case sent:
		r.state = givenUp
	}
	a.mu.Unlock()
	if sentOff {
		a.release(r)
	} else if before == waiting {
		a.advance() // the alarm may have been for this one
	}
	return before == waiting || before == sent
}

// release has the bus forget a request that was given up. Where it is too late
// for that, answered follows.
func (a *Authenticator) release(r *request) {
	if !r.cancel() {
		return
	}
	a.mu.Lock()
	r.state = over
	a.running--
	a.mu.Unlock()
	a.advance()
}

// read says what came of a request that was sent, and remembers or forgets
// whom the token stands for.
func (a *Authenticator) read(token key, msg *nats.Msg, err error) (Result, error) {
	switch {
	case errors.Is(err, bus.ErrTimeout):
		return Result{Outcome: TimedOut}, nil
	case err != nil:
		return Result{Outcome: Unavailable}, err
	}
	now := time.Now()
	reply, err := parse(msg.Data)
	if err != nil {
		return Result{Outcome: Invalid}, err
	}
	result := reply.result(msg.Data, now)
	a.memory.settle(token, result, reply.cacheFor, now)
	return result, nil
}
