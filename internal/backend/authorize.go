package backend

import (
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/ask"
	"belfry/internal/config"
	"belfry/internal/reason"
)

// An Action is what a user wants to do with a channel.
type Action string

// Subscribe is to receive what is published on it.
const Subscribe Action = "subscribe"

// A Question is what the backend is asked: its JSON is the request.
type Question struct {
	User    string `json:"user"`
	Channel string `json:"channel"` // in UTF-8, else JSON would make another name of it
	Action  Action `json:"action"`
}

// An Authorizer asks one backend.
type Authorizer struct {
	subject string
	line    *ask.Line
	memory  ask.Memory[Question, bool]
	log     *ask.Log
	counts  [ask.Outcomes]atomic.Uint64
}

// NewAuthorizer makes an Authorizer that asks on this subject. It has a line of
// its own, with the limits of authentication's.
func NewAuthorizer(b ask.Requester, subject string, o config.Auth, log *slog.Logger) *Authorizer {
	return &Authorizer{
		subject: subject,
		line:    ask.NewLine(b, o.Timeout, o.Concurrent),
		log: ask.NewLog(log, [ask.Outcomes]string{
			ask.Accepted:    "authorized",
			ask.Refused:     "authorization refused by the backend",
			ask.TimedOut:    "authorization timed out",
			ask.Unavailable: "authorization is unavailable",
			ask.Invalid:     "authorization reply is invalid",
		}),
	}
}

// Authorize asks. done is called exactly once unless cancel returned true
// before; it may be called before Authorize returns. It must not block: it runs
// on a goroutine that other replies wait for.
func (a *Authorizer) Authorize(q Question, f ask.Facts, done func(ask.Outcome)) (cancel func() bool) {
	f.User = q.User
	about := ask.About{Conn: f.Connection, User: q.User, Channel: q.Channel}
	if yes, ok := a.memory.Recall(q, time.Now()); ok {
		a.conclude(answer(yes), about, nil, done)
		return never
	}
	payload, err := json.Marshal(q)
	if err != nil {
		panic("backend: three strings are always JSON: " + err.Error())
	}
	msg := &nats.Msg{Subject: a.subject, Data: payload, Header: f.Headers()}
	return a.line.Ask(msg, func(reply *nats.Msg, err error) {
		outcome, err := a.read(q, reply, err)
		a.conclude(outcome, about, err, done)
	})
}

func never() bool { return false }

func answer(yes bool) ask.Outcome {
	if yes {
		return ask.Accepted
	}
	return ask.Refused
}

// read says what came of a question, and remembers the answer as the backend
// allows. A refusal is one, whatever else stands in it.
func (a *Authorizer) read(q Question, msg *nats.Msg, err error) (ask.Outcome, error) {
	if err != nil {
		return ask.Failure(err)
	}
	reply, yes, err := ask.Parse(msg.Data)
	if err != nil {
		return ask.Invalid, err
	}
	cacheFor, err := reply.Seconds("cache_for")
	if err != nil && yes {
		return ask.Invalid, err
	}
	now := time.Now()
	a.memory.Settle(q, yes, len(q.User)+len(q.Channel), now.Add(cacheFor), now)
	return answer(yes), err
}

// conclude counts, logs and tells.
func (a *Authorizer) conclude(o ask.Outcome, about ask.About, err error, done func(ask.Outcome)) {
	a.counts[o].Add(1)
	a.log.Note(o, reasonFor(o), about, err)
	done(o)
}

// reasonFor is authentication's word where the backend gave no answer.
func reasonFor(o ask.Outcome) reason.Reason {
	if o == ask.Refused {
		return reason.ChannelRefused
	}
	return o.Reason()
}

// SetLimits takes over a new timeout and a new bound. Questions in line get the
// new timeout, those that were sent keep theirs.
func (a *Authorizer) SetLimits(o config.Auth) { a.line.SetLimits(o.Timeout, o.Concurrent) }

// Load is how many questions the backend has and has not answered, and how many
// wait in line behind them.
func (a *Authorizer) Load() (underWay, waiting int) { return a.line.Load() }

// Counts is how often each outcome came, indexed by Outcome. A remembered
// answer counts; a cancelled question does not.
func (a *Authorizer) Counts() (counts [ask.Outcomes]uint64) {
	for o := range counts {
		counts[o] = a.counts[o].Load()
	}
	return counts
}
