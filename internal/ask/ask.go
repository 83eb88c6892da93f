// Package ask puts questions to a backend over NATS. What all questions have in
// common is here: who asks (Facts, as headers), what can come of it (Outcome),
// the line in which questions wait (Line), how a reply is read (Object), how
// long it is remembered (Memory) and how failures are logged (Log). What is
// asked, and what the answer means, is for packages auth and backend to know.
//
// Nothing here has a goroutine or a timer per question. At most so many are
// under way; the others wait in a line, first come, first served. A question's
// time begins when it is made, so that whoever has waited it out in line is
// told so and the backend is not bothered with a question nobody waits for any
// more.
//
// Goroutines: an answer comes on the goroutine that brought the reply (the
// bus's), or on the timer's for whoever ran out of time in line. No lock is
// held while it is handed on, nor while a request is sent.
package ask

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// A Requester sends a request and has its reply, or why there is none. bus.Bus
// is one.
type Requester interface {
	// Request calls done once, with the reply, or with an error that is
	// bus.ErrTimeout or bus.ErrUnavailable, or not at all after cancel returned
	// true. msg is not changed and may be kept.
	Request(msg *nats.Msg, timeout time.Duration, done func(*nats.Msg, error)) (cancel func() bool)
}

// Failure is the outcome that an error of a Line's stands for, and what of the
// error is worth a line in a log: nil where the outcome says it all.
func Failure(err error) (Outcome, error) {
	switch {
	case err == errInLine:
		return TimedOut, err
	case errors.Is(err, bus.ErrTimeout):
		return TimedOut, nil
	}
	return Unavailable, err
}
