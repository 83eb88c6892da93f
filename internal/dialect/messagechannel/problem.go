package messagechannel

import (
	"belfry/internal/auth"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A problem ends a connection: a frame that says what is wrong, then a close
// frame without a code.
type problem struct {
	why   reason.Reason
	frame []byte // shared by all connections
}

// The messages are the protocol: clients may compare them.
var (
	// Bad input, as in the original.
	notJSON     = problemOf(reason.BadMessage, "Invalid JSON message structure")
	noType      = problemOf(reason.BadMessage, "Invalid message structure. Type field is required")
	unknownType = problemOf(reason.BadMessage, "Invalid message type")

	// Where the original crashed, hung or let something slip through.
	noToken         = problemOf(reason.TokenRequired, "Token is required")
	authPending     = problemOf(reason.AuthPending, "Authentication is pending")
	authTimedOut    = problemOf(reason.AuthTimeout, "Authentication timed out")
	authUnavailable = problemOf(reason.AuthUnavailable, "Authentication is unavailable")
	authInvalid     = problemOf(reason.AuthInvalid, "Authentication reply is invalid")
	otherUser       = problemOf(reason.OtherUser, "Authenticated as another user")
	expired         = problemOf(reason.Expired, "Authentication expired")
)

// problemOf makes a problem of a message that needs no escaping in JSON.
func problemOf(why reason.Reason, message string) *problem {
	return &problem{why, frame(transport.OpText, []byte(`{"success":false,"message":"`+message+`"}`))}
}

// problemFor is what a client is told of an authentication that is neither
// Accepted nor Refused.
func problemFor(o auth.Outcome) *problem {
	switch o {
	case auth.TimedOut:
		return authTimedOut
	case auth.Invalid:
		return authInvalid
	}
	return authUnavailable
}
