// Package messagechannel speaks the protocol of nats-message-channel, the
// system that Belfry grew from, as it stands on the wire.
//
// The client's frames are JSON objects, one a frame, with case-sensitive keys;
// a binary frame is read like a text frame. Keys that are not named here are
// ignored.
//
//	client → {"type":"AUTH","token":"57uiWCKp/44wImihy0C9+g=="}
//	         The token, as raw bytes, is what the backend is asked about.
//	server → {"success":true,"user_id":1}
//	         The backend's reply, its bytes unchanged. The connection is the
//	         user's from now on and receives nothing yet.
//	client → {"type":"NOTIFICATION"}
//	         Not answered: notifications flow from now on. Before AUTH it does
//	         nothing; while the backend is being asked it takes effect when the
//	         answer is yes; a second one changes nothing.
//	server → anything
//	         A notification: the payload's bytes, unchanged. A text frame, but a
//	         binary frame for a payload that is not UTF-8, because a browser
//	         closes the connection over a text frame that isn't.
//	client → AUTH again
//	         Renews an identity that expires: the backend is asked anew, even
//	         where it allowed the identity to be remembered, and its reply sent.
//
// What ends a connection is one frame and then a close frame without a code
// (the client sees 1005):
//
//	server → {"success":false,"user_id":null}
//	         A refusal: the backend's reply, its bytes unchanged, once.
//	server → {"success":false,"message":"Invalid message type"}
//	         Everything else; problem.go has all messages and their reasons.
//
// Notifications are durable: a client that comes back gets what came while it
// was away, in order. Its protocol carries no position, so the gateway keeps the
// place: a ping stands behind what it sends (fence.go), the pong confirms it, and
// where the user's clients are is stored (package hub, Cursor).
//
// A connection that was refused never receives a notification: it has its
// place in the hub only after the backend has said yes. A renewal that comes to
// anything but yes, for the same user, ends the connection too. An identity
// that expires ends it with "Authentication expired", unless a renewal is under
// way, which decides then.
//
// Closes with a code and without a frame are 1008 for a client that sends no
// AUTH within 60 s, and those of package transport (1002, 1007, 1008, 1009,
// 1012).
package messagechannel

import (
	"log/slog"
	"time"
	"unique"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/transport"
)

// Name is the dialect's name in metrics and towards the backend.
const Name = "messagechannel"

// ReadLimit is the largest message a client may send, in bytes. Beyond it the
// connection is closed with 1009.
const ReadLimit = 64 << 10

// authWithin is how long a client has for its first AUTH.
const authWithin = 60 * time.Second

// A Follower is told which users have connections that want what is published
// in the original system's naming, notification_<user>. A user that n Follow
// have named is wanted until n Unfollow have. Neither call may block.
type Follower interface {
	Follow(user string)
	Unfollow(user string)
}

// A Dialect makes sessions.
type Dialect struct {
	hub        *hub.Hub
	auth       *auth.Authenticator
	follower   Follower // nil: the original's naming is off
	encoding   *hub.Encoding
	log        *slog.Logger
	started    time.Time     // sessions hold times as durations since
	authWithin time.Duration // a test's is shorter
}

// New makes the dialect and registers its encoding with the hub. Without a
// follower what is published in the original's naming is not delivered.
func New(h *hub.Hub, a *auth.Authenticator, follow Follower, log *slog.Logger) *Dialect {
	return &Dialect{
		hub:        h,
		auth:       a,
		follower:   follow,
		encoding:   h.Encoding(Name, encode),
		log:        log,
		started:    time.Now(),
		authWithin: authWithin,
	}
}

// now is the time as sessions hold it.
func (d *Dialect) now() time.Duration { return time.Since(d.started) }

// Open begins a session on a new connection. Of f it takes the remote address,
// the origin and the user agent. device, which may be empty, is the part of the
// user's clients that shares a delivered cursor.
func (d *Dialect) Open(c *transport.Conn, f auth.Facts, device string) transport.Session {
	f = f.Clean()
	s := &session{
		dialect: d,
		conn:    c,
		from:    unique.Make(origin{device, f.Origin, f.UserAgent}),
		remote:  remoteOf(f.Remote),
	}
	c.SetTimeout(d.authWithin)
	return s
}

// encode is a publication as a frame, made once for all connections.
func encode(p *hub.Publication) []byte {
	op := transport.OpText
	if p.Class == hub.Binary {
		op = transport.OpBinary
	}
	return frame(op, p.Payload)
}

func frame(op transport.Opcode, payload []byte) []byte {
	return transport.AppendFrame(make([]byte, 0, transport.FrameSize(len(payload))), op, payload)
}
