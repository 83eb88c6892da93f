package ask

import "belfry/internal/reason"

// An Outcome is what asking the backend came to.
type Outcome uint8

const (
	Accepted    Outcome = iota // the backend said yes
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

// Reason is why a connection whose authentication came to this outcome is
// closed; None for Accepted.
func (o Outcome) Reason() reason.Reason {
	return [Outcomes]reason.Reason{
		Accepted:    reason.None,
		Refused:     reason.AuthRefused,
		TimedOut:    reason.AuthTimeout,
		Unavailable: reason.AuthUnavailable,
		Invalid:     reason.AuthInvalid,
	}[o]
}
