package auth

import (
	"time"

	"belfry/internal/reason"
)

// An Outcome is what asking the backend came to.
type Outcome uint8

const (
	Accepted    Outcome = iota // the backend named the user
	Refused                    // the backend said no
	TimedOut                   // no answer in time, waiting in line included
	Unavailable                // nobody listens on the subject, or NATS is away
	Invalid                    // the reply can't be understood

	// Outcomes is how many there are.
	Outcomes = 5
)

// String is the outcome as a metric label.
func (o Outcome) String() string {
	return [Outcomes]string{"accepted", "refused", "timeout", "unavailable", "invalid"}[o]
}

// Reason is why a connection that came to this outcome is closed; None for
// Accepted.
func (o Outcome) Reason() reason.Reason {
	return [Outcomes]reason.Reason{
		Accepted:    reason.None,
		Refused:     reason.AuthRefused,
		TimedOut:    reason.AuthTimeout,
		Unavailable: reason.AuthUnavailable,
		Invalid:     reason.AuthInvalid,
	}[o]
}

// An Identity is who a token stands for.
type Identity struct {
	// User is the user id: an integer's digits, or the string itself.
	User string
	// ExpiresAt is when the identity ends; zero is never.
	ExpiresAt time.Time
}

// A Result is an outcome and what came with it.
type Result struct {
	Outcome  Outcome
	Identity Identity // of Accepted
	// Reply is the backend's bytes, unchanged: of Accepted and Refused, where it
	// is one JSON object and therefore UTF-8. It is shared; don't change it.
	Reply []byte
}
