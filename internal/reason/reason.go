// Package reason names, once, why Belfry closed a connection or refused one.
// A reason's name is the value of the log field `reason`, of the metric label
// `reason` and the anchor in docs/reasons.md; a test holds the three together.
package reason

// A Reason says why a connection ended or was never admitted. The zero value
// is None, which is never logged or counted.
type Reason uint8

const (
	None Reason = iota

	// The client's doing.
	ClientClosed  // it sent a close frame
	ClientGone    // its side of the socket ended or broke without a close frame
	ProtocolError // it broke RFC 6455; close code 1002
	InvalidUTF8   // a text message or a close reason is not UTF-8; close code 1007
	TooBig        // a message is larger than the dialect takes; close code 1009
	BadMessage    // a message that the dialect does not know; told in a frame
	NoPong        // nothing came back, and TCP acknowledged nothing, after a ping; close code 1008
	Slow          // it reads slower than it is sent to and its queue is full; close code 1008
	NoAuth        // it sent no token in time; close code 1008

	// What authentication came to.
	TokenRequired   // no token, an empty one, or not a string
	AuthRefused     // the backend said no
	AuthTimeout     // the backend did not answer in time
	AuthUnavailable // nobody listens on the authentication subject, or NATS is away
	AuthInvalid     // the backend's reply can't be understood
	AuthPending     // a second token while the first is still asked about
	OtherUser       // a second token that belongs to another user
	Expired         // the identity's time is over and it was not renewed
	ChannelRefused  // it may not subscribe to a channel that it asked for

	// The gateway's doing.
	Drain    // this gateway is going away, the client should come back; close code 1012
	NotReady // it is not ready yet; HTTP 503
	Limit    // it has as many connections as it may; HTTP 503
	Internal // a bug; the log has the details; close code 1011

	// Handshakes that never became a connection.
	BadHandshake // not a WebSocket handshake that RFC 6455 allows; HTTP 400, 405 or 426
	BadOrigin    // a page of an origin that public.origins does not have; HTTP 403

	count
)

var names = [count]string{
	None:            "none",
	ClientClosed:    "client_closed",
	ClientGone:      "client_gone",
	ProtocolError:   "protocol_error",
	InvalidUTF8:     "invalid_utf8",
	TooBig:          "too_big",
	BadMessage:      "bad_message",
	NoPong:          "no_pong",
	Slow:            "slow",
	NoAuth:          "no_auth",
	TokenRequired:   "token_required",
	AuthRefused:     "auth_refused",
	AuthTimeout:     "auth_timeout",
	AuthUnavailable: "auth_unavailable",
	AuthInvalid:     "auth_invalid",
	AuthPending:     "auth_pending",
	OtherUser:       "other_user",
	Expired:         "expired",
	ChannelRefused:  "channel_refused",
	Drain:           "drain",
	NotReady:        "not_ready",
	Limit:           "limit",
	Internal:        "internal",
	BadHandshake:    "bad_handshake",
	BadOrigin:       "bad_origin",
}

// String returns the reason's name, the same in logs, metrics and docs.
func (r Reason) String() string {
	if r < count {
		return names[r]
	}
	return "unknown"
}

// Count is the number of reasons, None included: the length of an array of
// counters indexed by Reason.
const Count = int(count)

// All returns every reason but None, in order of definition.
func All() []Reason {
	all := make([]Reason, 0, Count-1)
	for r := None + 1; r < count; r++ {
		all = append(all, r)
	}
	return all
}
