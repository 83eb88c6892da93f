package messagechannel

import (
	"net/netip"
	"time"
	"unique"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A session is one connection's state. There are as many as connections, most
// of them idle: what is only needed to authenticate is not kept, and what many
// have in common is shared.
//
// turns guards everything below it: it is touched in a turn only.
type session struct {
	dialect *Dialect
	conn    *transport.Conn

	turns     turns
	place     hub.Conn
	cancel    func() bool   // gives the pending authentication up
	user      string        // who it is, from known on
	until     time.Duration // when the identity ends, since Dialect.started; 0 is never
	remote    netip.Addr
	origin    unique.Handle[string]
	userAgent unique.Handle[string]
	phase     phase
	wants     bool // NOTIFICATION came, and was not too early
	attached  bool // it has its place in the hub
	listening bool // it is subscribed and followed
}

// A phase is how far authentication is.
type phase uint8

const (
	unknown  phase = iota // no AUTH yet
	asking                // AUTH came, the backend has not answered
	known                 // the backend said yes
	renewing              // AUTH came again
	over                  // told to go, or gone
)

// Message implements transport.Session.
func (s *session) Message(_ transport.Opcode, p []byte) {
	c, wrong := parse(p)
	s.turns.do(func() {
		switch {
		case s.phase == over:
		case wrong != nil:
			s.fail(wrong)
		case c.token != nil:
			s.authenticate(c.token)
		case s.phase != unknown: // NOTIFICATION before AUTH does nothing
			s.wants = true
			s.listen()
		}
	})
}

// Timeout implements transport.Session: no AUTH came, or the identity's time is
// over.
func (s *session) Timeout() {
	s.turns.do(func() {
		switch {
		case s.phase == unknown:
			s.phase = over
			s.conn.Close(reason.NoAuth, transport.ClosePolicy, "no AUTH in time")
		case s.phase != known || s.until == 0:
			// A pending authentication decides, or this was overtaken.
		case s.left() > 0: // overtaken by a renewal
			s.conn.SetTimeout(s.left())
		default:
			s.fail(expired)
		}
	})
}

// Closed implements transport.Session.
func (s *session) Closed(reason.Reason) { s.turns.do(s.leave) }

// The following are called in a turn.

func (s *session) authenticate(token []byte) {
	facts := auth.Facts{
		Connection: s.conn.Name(),
		Remote:     s.remote,
		Origin:     s.origin.Value(),
		UserAgent:  s.userAgent.Value(),
		Dialect:    Name,
		User:       s.user,
	}
	switch s.phase {
	case unknown:
		s.phase = asking
	case known:
		s.phase = renewing
	default:
		s.fail(authPending)
		return
	}
	// An answer that is there at once takes its turn after this one.
	s.cancel = s.dialect.auth.Authenticate(token, facts, s.phase == renewing, func(r auth.Result) {
		s.turns.do(func() { s.answered(r) })
	})
}

func (s *session) answered(r auth.Result) {
	if s.phase == over {
		return // too late, nobody is there
	}
	s.cancel = nil
	switch {
	case r.Outcome == auth.Refused:
		s.end(reason.AuthRefused, frame(transport.OpText, r.Reply))
	case r.Outcome != auth.Accepted:
		s.fail(problemFor(r.Outcome))
	case s.phase == renewing && r.Identity.User != s.user:
		s.fail(otherUser)
	default:
		s.accept(r)
	}
}

// accept makes the connection the user's, or renews it. The reply is written
// before the hub knows the connection, so no notification can come before it.
func (s *session) accept(r auth.Result) {
	s.conn.Write(frame(transport.OpText, r.Reply))
	s.phase, s.user, s.until = known, r.Identity.User, 0
	s.conn.SetTimeout(0)
	if end := r.Identity.ExpiresAt; !end.IsZero() {
		s.until = end.Sub(s.dialect.started)
		s.conn.SetTimeout(max(s.left(), 1))
	}
	if !s.attached {
		s.dialect.hub.Attach(&s.place, s.conn, s.dialect.encoding, s.user)
		s.attached = true
	}
	s.listen()
}

// listen subscribes to the user's channel once both the user and NOTIFICATION
// are there.
func (s *session) listen() {
	if !s.attached || !s.wants || s.listening {
		return
	}
	s.listening = true
	if s.dialect.follower != nil {
		s.dialect.follower.Follow(s.user)
	}
	s.dialect.hub.Subscribe(&s.place, "#"+s.user) // last: who sees it counted knows that all is in place
}

func (s *session) fail(p *problem) { s.end(p.why, p.frame) }

// end sends the last frame and closes. The hub is left first: only a
// notification that is being written at this moment can still come in between,
// and only where the connection was the user's until now.
func (s *session) end(why reason.Reason, last []byte) {
	s.dialect.log.Debug("ending a connection", "conn", s.conn.Name(), "user", s.user, "reason", why.String())
	s.leave()
	s.conn.Write(last)
	s.conn.Close(why, transport.CloseNone, "")
}

// leave takes back all that others hold of the session. It may be called twice.
func (s *session) leave() {
	s.phase = over
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	if s.attached {
		s.attached = false
		s.dialect.hub.Detach(&s.place)
	}
	if s.listening {
		s.listening = false
		if s.dialect.follower != nil {
			s.dialect.follower.Unfollow(s.user)
		}
	}
}

// left is how long the identity still lasts.
func (s *session) left() time.Duration { return s.until - time.Since(s.dialect.started) }
