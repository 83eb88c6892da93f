package messagechannel

import (
	"slices"
	"sync/atomic"
	"time"
	"unique"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A session is one connection's state. There are as many as connections, most
// of them idle: what is only needed to authenticate is not kept, and what many
// have in common is shared.
//
// turns guards everything below it: it is touched in a turn only. The fence has
// a lock of its own, because the hub's worker and the client's pongs come often.
type session struct {
	dialect *Dialect
	conn    *transport.Conn

	fence     fence
	turns     turns
	place     hub.Conn
	from      unique.Handle[origin]
	remote    remote
	pending   *pending
	until     atomic.Int64 // when the identity ends, in ns since Dialect.started; 0 is never
	phase     phase
	wants     bool // NOTIFICATION came, and was not too early
	attached  bool // it has its place in the hub
	listening bool // it is subscribed and followed
}

// pending is what a session has only until it has begun, or while it is renewed.
type pending struct {
	cancel func() bool       // gives the authentication up, which is under way
	start  string            // where a client without a cursor begins, by the backend's word
	from   position.Position // where the streams stood when it was let in
}

// An origin is what many clients have in common.
type origin struct {
	device, page, userAgent string
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
			s.settle()
		}
	})
}

// Pong implements transport.Session: a fence was passed.
func (s *session) Pong(payload []byte) {
	if string(payload) == fenceText && s.fence.passed() {
		s.fenceSoon()
	}
}

// Drained implements transport.Session.
func (s *session) Drained() { s.dialect.hub.Continue(&s.place) }

// Reset implements hub.Writer.
func (s *session) Reset(m position.Mark) { s.fence.reset(m) }

// Idle implements hub.Writer.
func (s *session) Idle() bool { return s.conn.NotifyDrained() }

// Deliver implements hub.Writer.
func (s *session) Deliver(b []byte, mark uint64) {
	if mark == 0 {
		s.conn.Write(b)
		return
	}
	ping := s.fence.write(mark, s.dialect.now())
	if ping {
		b = append(slices.Clip(b), fenceFrame...)
		s.conn.ExpectPong() // first: the pong may be there before Write returns
	}
	s.conn.Write(b)
	if !ping && s.fence.wrote(mark) {
		s.fenceSoon()
	}
}

// fenceSoon has a ping sent if no notification comes for it to ride with: each that
// does puts it off, or all connections would ping by themselves at a tick. It puts
// off nothing that is due before long.
func (s *session) fenceSoon() {
	if s.until.Load() != 0 && s.left() < 3*fenceEvery {
		s.conn.HastenTimeout(s.left())
		return
	}
	s.conn.SetTimeout(fenceEvery)
}

// Timeout implements transport.Session: a fence is due, no AUTH came, or the
// identity's time is over. There is one alarm for all of them, so who needs it
// later than another leaves it as it is; it is set anew here.
func (s *session) Timeout() {
	ping, later := s.fence.due(s.dialect.now())
	if ping {
		s.conn.ExpectPong()
		s.conn.Write(fenceFrame)
	}
	if later {
		s.conn.HastenTimeout(fenceEvery)
	}
	s.turns.do(func() {
		switch {
		case s.phase == unknown:
			s.phase = over
			s.conn.Close(reason.NoAuth, transport.ClosePolicy, "no AUTH in time")
		case s.phase != known || s.until.Load() == 0:
			// A pending authentication decides, or this was overtaken.
		case s.left() > 0: // overtaken by a renewal, or a fence was due
			s.conn.HastenTimeout(s.left())
		default:
			s.fail(expired)
		}
	})
}

// Leave implements transport.Leaver: what the client was sent last is confirmed
// before it answers the close frame, or it would come again.
func (s *session) Leave() {
	if s.fence.last(s.dialect.now()) {
		s.conn.Write(fenceFrame)
	}
}

// Closed implements transport.Session.
func (s *session) Closed(why reason.Reason) {
	s.turns.do(func() { s.leave(why != reason.ClientClosed) })
}

// The following are called in a turn.

func (s *session) authenticate(token []byte) {
	from := s.from.Value()
	facts := auth.Facts{
		Connection: s.conn.Name(),
		Remote:     s.remote.addr(),
		Origin:     from.page,
		UserAgent:  from.userAgent,
		Dialect:    Name,
		User:       s.user(),
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
	if s.pending == nil {
		s.pending = &pending{}
	}
	// An answer that is there at once takes its turn after this one.
	s.pending.cancel = s.dialect.auth.Authenticate(token, facts, s.phase == renewing, func(r auth.Result) {
		s.turns.do(func() { s.answered(r) })
	})
}

func (s *session) answered(r auth.Result) {
	if s.phase == over {
		return // too late, nobody is there
	}
	s.pending.cancel = nil
	switch {
	case r.Outcome == auth.Refused:
		s.end(reason.AuthRefused, frame(transport.OpText, r.Reply))
	case r.Outcome != auth.Accepted:
		s.fail(problemFor(r.Outcome))
	case s.phase == renewing && r.Identity.User != s.user():
		s.fail(otherUser)
	default:
		s.accept(r)
	}
}

// accept makes the connection the user's, or renews it. The reply is written
// before the hub knows the connection, so no notification can come before it.
func (s *session) accept(r auth.Result) {
	if !s.attached { // from here on the client may count on what is published
		s.pending.from = s.dialect.hub.Marks()
	}
	s.conn.Write(frame(transport.OpText, r.Reply))
	s.phase = known
	if !s.attached {
		s.conn.SetTimeout(0) // AUTH came in time
	}
	if end := r.Identity.ExpiresAt; end.IsZero() {
		s.until.Store(0)
	} else {
		s.until.Store(int64(end.Sub(s.dialect.started)))
		s.conn.HastenTimeout(s.left())
	}
	if !s.attached {
		s.pending.start = r.Identity.Start
		s.dialect.hub.Attach(&s.place, s, s.dialect.encoding, r.Identity.User)
		s.attached = true
	}
	s.listen()
	s.settle()
}

// settle lets go of what is only needed until all is in place.
func (s *session) settle() {
	if s.listening && s.pending != nil && s.pending.cancel == nil {
		s.pending = nil
	}
}

// listen subscribes to the user's channel once both the user and NOTIFICATION
// are there.
func (s *session) listen() {
	if !s.attached || !s.wants || s.listening {
		return
	}
	s.listening = true
	user, start, from := s.user(), s.pending.start, s.pending.from
	if s.dialect.follower != nil {
		s.dialect.follower.Follow(user)
	}
	// Last: who sees it counted knows that all is in place.
	s.dialect.hub.Resume(&s.place, hub.Query{
		User:     user,
		Device:   s.from.Value().device,
		Channels: []string{s.place.Personal()},
		From:     from,
		Start:    start,
		Confirms: true,
		Tickets:  true,
	}, nil, s.resumed)
}

// resumed is told where the client starts. Its protocol has no words for a place
// that was lost: that is logged here, and counted by the hub.
func (s *session) resumed(start hub.Start) {
	if start.Err != nil {
		s.dialect.log.Warn("where a client starts can't be told now", "conn", s.conn.Name(), "user", s.user(), "err", start.Err)
		s.turns.do(func() { s.fail(problemFor(auth.Unavailable)) })
		return
	}
	for _, r := range start.Resets {
		s.dialect.log.Info("a client's place was lost: it is sent what there is", "conn", s.conn.Name(), "user", s.user(), "reason", string(r.Why))
	}
	s.fence.open(start.Cursor)
}

func (s *session) fail(p *problem) { s.end(p.why, p.frame) }

// end sends the last frame and closes. The hub is left first: only a
// notification that is being written at this moment can still come in between,
// and only where the connection was the user's until now.
func (s *session) end(why reason.Reason, last []byte) {
	s.dialect.log.Debug("ending a connection", "conn", s.conn.Name(), "user", s.user(), "reason", why.String())
	s.leave(true)
	s.conn.Write(last)
	s.conn.Close(why, transport.CloseNone, "")
}

// leave takes back all that others hold of the session. Unless it was the client
// that closed, it may come back to where it was. It may be called twice.
func (s *session) leave(broke bool) {
	s.phase = over
	if s.pending != nil && s.pending.cancel != nil {
		s.pending.cancel()
		s.pending.cancel = nil
	}
	if s.attached {
		s.attached = false
		s.dialect.hub.Detach(&s.place)
	}
	s.fence.close(broke)
	if s.listening {
		s.listening = false
		if s.dialect.follower != nil {
			s.dialect.follower.Unfollow(s.user())
		}
	}
}

// user is who it is, from known on; before it is empty.
func (s *session) user() string { return s.place.User() }

// left is how long the identity still lasts.
func (s *session) left() time.Duration { return time.Duration(s.until.Load()) - s.dialect.now() }
