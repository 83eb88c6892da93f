// Package auth turns a token into an identity: it asks the backend over NATS.
//
// The token goes to the authentication subject as a request whose payload is
// the token's bytes and nothing else; facts about the connection are headers.
// The reply is one JSON object, `{"success":true,"user_id":1}` or
// `{"success":false}`; parse has its rules. There are five outcomes (see
// Outcome), and none of them blocks or panics. How requests wait in line is
// package ask's.
//
// Goroutines: done is called on the goroutine that brought the reply (the
// bus's), on the timer's for whoever ran out of time in line, or on the
// caller's own for a remembered identity. No lock is held while it is called,
// nor while a request is sent.
package auth

import (
	"crypto/sha256"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/ask"
	"belfry/internal/config"
	"belfry/internal/histogram"
)

// What is common to all that is asked of a backend, under the names that who
// authenticates knows it by.
type (
	Requester = ask.Requester
	Facts     = ask.Facts
	Outcome   = ask.Outcome
)

// The outcomes: Accepted means that the backend named the user.
const (
	Accepted    = ask.Accepted
	Refused     = ask.Refused
	TimedOut    = ask.TimedOut
	Unavailable = ask.Unavailable
	Invalid     = ask.Invalid
	Outcomes    = ask.Outcomes
)

// A key is what a token is remembered by: half of its hash, so that a token is
// nowhere in memory for longer than it is asked about. Another token with the same
// 128 bits can't be found.
type key [sha256.Size / 2]byte

func keyOf(token []byte) key {
	sum := sha256.Sum256(token)
	return key(sum[:])
}

// An Authenticator asks one backend.
type Authenticator struct {
	subject string
	line    *ask.Line
	memory  ask.Memory[key, remembered]
	forms   forms
	log     *ask.Log
	counts  [Outcomes]atomic.Uint64
	took    histogram.Histogram
}

// New makes an Authenticator that asks on this subject.
func New(b Requester, subject string, o config.Auth, log *slog.Logger) *Authenticator {
	return &Authenticator{
		subject: subject,
		line:    ask.NewLine(b, o.Timeout, o.Concurrent),
		log: ask.NewLog(log, [Outcomes]string{
			Accepted:    "authenticated",
			Refused:     "authentication refused by the backend",
			TimedOut:    "authentication timed out",
			Unavailable: "authentication is unavailable",
			Invalid:     "authentication reply is invalid",
		}),
	}
}

// Authenticate asks who token stands for. done is called exactly once unless
// cancel returned true before; it may be called before Authenticate returns.
// cancel may be called at any time and takes the request out of the line.
// fresh asks even where the identity is remembered.
//
// token is kept until done and must not change. It is never logged.
func (a *Authenticator) Authenticate(token []byte, f Facts, fresh bool, done func(Result)) (cancel func() bool) {
	k := keyOf(token)
	if !fresh {
		if known, ok := a.memory.Recall(k, time.Now()); ok {
			a.conclude(f.Connection, known.result(), nil, done)
			return func() bool { return false }
		}
	}
	conn, asked := f.Connection, time.Now()
	msg := &nats.Msg{Subject: a.subject, Data: token, Header: f.Headers()}
	return a.line.Ask(msg, func(reply *nats.Msg, err error) {
		a.took.Observe(time.Since(asked))
		result, err := a.read(k, reply, err)
		a.conclude(conn, result, err, done)
	})
}

// SetLimits takes over a new timeout and a new bound. Requests in line get the
// new timeout, those that were sent keep theirs.
func (a *Authenticator) SetLimits(o config.Auth) { a.line.SetLimits(o.Timeout, o.Concurrent) }

// Load is how many requests the backend has and has not answered, and how many
// wait in line behind them.
func (a *Authenticator) Load() (underWay, waiting int) { return a.line.Load() }

// Counts is how often each outcome came, indexed by Outcome. A remembered
// identity counts as Accepted; a cancelled request does not count.
func (a *Authenticator) Counts() (counts [Outcomes]uint64) {
	for o := range counts {
		counts[o] = a.counts[o].Load()
	}
	return counts
}

// Took is how long requests took, their wait in line included. A remembered
// identity is none.
func (a *Authenticator) Took() histogram.Snapshot { return a.took.Snapshot() }

// read says what came of a request, and remembers or forgets whom the token
// stands for.
func (a *Authenticator) read(token key, msg *nats.Msg, err error) (Result, error) {
	if err != nil {
		outcome, err := ask.Failure(err)
		return Result{Outcome: outcome}, err
	}
	now := time.Now()
	reply, err := parse(msg.Data)
	if err != nil {
		return Result{Outcome: Invalid}, err
	}
	result := reply.result(msg.Data, now)
	until := reply.until(result, now)
	var known remembered
	var weight int
	if until.After(now) {
		known, weight = a.forms.remember(result)
	}
	a.memory.Settle(token, known, weight, until, now)
	return result, nil
}

// conclude counts, logs and tells.
func (a *Authenticator) conclude(conn string, result Result, err error, done func(Result)) {
	a.counts[result.Outcome].Add(1)
	a.log.Note(result.Outcome, result.Outcome.Reason(), ask.About{Conn: conn, User: result.Identity.User}, err)
	done(result)
}
