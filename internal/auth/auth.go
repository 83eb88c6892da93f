// Package auth turns a token into an identity: it asks the backend over NATS.
//
// The token goes to the authentication subject as a request whose payload is
// the token's bytes and nothing else; facts about the connection are headers.
// The reply is one JSON object, `{"success":true,"user_id":1}` or
// `{"success":false}`; parse has its rules. There are five outcomes (see
// Outcome), and none of them blocks or panics.
//
// Nothing here has a goroutine or a timer per request. At most so many requests
// are under way; the others wait in a line, first come, first served. A
// request's time begins when it is made, so that whoever has waited it out in
// line is told so and the backend is not bothered with a question nobody waits
// for any more.
//
// Goroutines: done is called on the goroutine that brought the reply (the
// bus's), on the timer's for whoever ran out of time in line, or on the
// caller's own for a remembered identity. No lock is held while it is called,
// nor while a request is sent.
package auth

import (
	"container/list"
	"crypto/sha256"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/config"
)

// A Requester sends a request and has its reply, or why there is none. bus.Bus
// is one.
type Requester interface {
	// Request calls done once, with the reply, with an error that is
	// bus.ErrTimeout or bus.ErrUnavailable, or not at all after cancel returned
	// true. msg is not changed and may be kept.
	Request(msg *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) (cancel func() bool)
}

// An Authenticator asks one backend.
type Authenticator struct {
	bus     Requester
	subject string
	memory  memory
	journal journal
	counts  [Outcomes]atomic.Uint64

	mu         sync.Mutex // guards the following, and each request's state
	timeout    time.Duration
	concurrent int
	running    int         // requests that were sent and are not over
	line       list.List   // of *request, those that wait; the oldest in front
	alarm      *time.Timer // for the time of the first in line, while there is one
}

// New makes an Authenticator that asks on this subject.
func New(b Requester, subject string, o config.Auth, log *slog.Logger) *Authenticator {
	a := &Authenticator{bus: b, subject: subject, journal: journal{log: log}}
	a.timeout, a.concurrent = o.Timeout, o.Concurrent
	a.alarm = time.AfterFunc(time.Hour, a.advance)
	a.alarm.Stop()
	return a
}

// Authenticate asks who token stands for. done is called exactly once unless
// cancel returned true before; it may be called before Authenticate returns.
// cancel may be called at any time and takes the request out of the line.
// fresh asks even where the identity is remembered.
//
// token is kept until done and must not change. It is never logged.
func (a *Authenticator) Authenticate(token []byte, f Facts, fresh bool, done func(Result)) (cancel func() bool) {
	r := &request{
		key:  sha256.Sum256(token),
		conn: f.Connection,
		made: time.Now(),
		done: done,
	}
	if !fresh {
		if known, ok := a.memory.recall(r.key, r.made); ok {
			a.conclude(r, known, nil)
			return func() bool { return false }
		}
	}
	r.msg = &nats.Msg{Subject: a.subject, Data: token, Header: f.headers()}
	a.mu.Lock()
	r.place = a.line.PushBack(r)
	a.mu.Unlock()
	a.advance()
	return func() bool { return a.cancel(r) }
}

// SetLimits takes over a new timeout and a new bound. Requests in line get the
// new timeout, those that were sent keep theirs.
func (a *Authenticator) SetLimits(o config.Auth) {
	a.mu.Lock()
	a.timeout, a.concurrent = o.Timeout, o.Concurrent
	a.mu.Unlock()
	a.advance()
}

// Counts is how often each outcome came, indexed by Outcome. A remembered
// identity counts as Accepted; a cancelled request does not count.
func (a *Authenticator) Counts() (counts [Outcomes]uint64) {
	for o := range counts {
		counts[o] = a.counts[o].Load()
	}
	return counts
}

// conclude counts, logs and tells.
func (a *Authenticator) conclude(r *request, result Result, err error) {
	a.counts[result.Outcome].Add(1)
	a.journal.note(r.conn, result, err)
	r.done(result)
}
