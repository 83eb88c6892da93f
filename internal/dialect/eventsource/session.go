package eventsource

import (
	"sync"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A line is a session's way to its client; transport.Conn is one.
type line interface {
	Name() string
	Write([]byte)
	Close(why reason.Reason, code uint16, text string)
	HastenTimeout(time.Duration)
	NotifyDrained() bool
	Unsent() (bytes int64, exact bool)
}

// A session is one connection's state. There are as many as connections, most of
// them idle: what is only needed at the start is not kept.
//
// Its times are durations since Dialect.started; 0 is never.
type session struct {
	dialect   *Dialect
	conn      line
	place     hub.Conn
	mask      mask
	heartbeat time.Duration
	until     time.Duration // when the identity ends
	opening   *opening      // until the first block has been written

	mu       sync.Mutex // guards the following; only a cursor's methods are called with it held
	over     bool
	beatAt   time.Duration
	delivery delivery
}

// An opening is what a session needs until it has begun: the first block can't
// be written before it is settled where the client starts, and what is live only
// may come meanwhile.
type opening struct {
	admission
	live [][]byte // guarded by session.mu
	size int      // bytes of these
}

// open begins a session on a new connection.
func (d *Dialect) open(c line, a admission) *session {
	d.log.Debug("a stream begins", "conn", c.Name(), "asked_as", a.askedAs, "user", a.identity.User)
	encoding := d.encodings.of(a.identity.User, a.channels)
	s := &session{
		dialect:   d,
		conn:      c,
		mask:      encoding.mask,
		heartbeat: a.options.Heartbeat,
		opening:   &opening{admission: a},
	}
	if end := a.identity.ExpiresAt; !end.IsZero() {
		s.until = max(end.Sub(d.started), 1)
	}
	s.beatAt = s.now() + s.heartbeat
	s.setAlarm()
	d.hub.Attach(&s.place, s, encoding.Encoding, a.identity.User)
	if d.follower != nil {
		d.follower.Follow(s.user())
	}
	start := a.request.start
	if start == "" {
		start = a.identity.Start
	}
	d.hub.Resume(&s.place, hub.Query{
		User:        s.user(),
		Device:      a.device,
		Channels:    append([]string{s.place.Personal()}, a.channels...),
		Position:    a.position,
		HasPosition: a.position != "",
		From:        a.from,
		Start:       start,
		Confirms:    true,
	}, nil, s.started)
	return s
}

// started is called by the hub before anything that is stored is written.
func (s *session) started(start hub.Start) {
	if start.Err != nil {
		s.dialect.log.Warn("where a client starts can't be told now", "conn", s.conn.Name(), "user", s.user(), "err", start.Err)
		s.unavailable(reason.NotReady)
		return
	}
	s.mu.Lock()
	over, opening := s.over, s.opening
	if !over {
		s.delivery.cursor = start.Cursor
	}
	s.mu.Unlock()
	if over {
		if start.Cursor != nil {
			start.Cursor.Close()
		}
		return
	}
	s.begin(opening.firstBlocks(start, s.mask))
}

// begin writes the first blocks, and then what came meanwhile.
func (s *session) begin(next []byte) {
	for next != nil {
		s.conn.Write(next)
		s.mu.Lock()
		next = nil
		if live := s.opening.live; len(live) > 0 {
			next, s.opening.live = live[0], live[1:]
		} else {
			s.opening = nil
		}
		s.mu.Unlock()
	}
}

// firstBlocks say where the client is, and what is wrong with that. One that
// brought a position which can't be served is told that position first and the
// new one with the reset: if it breaks off in between it comes back with the
// old one, and is told again.
func (o *opening) firstBlocks(start hub.Start, of mask) []byte {
	at := of(start.At)
	first := at
	if brought, err := position.Parse(o.position); err == nil && len(start.Resets) > 0 {
		first = of(brought)
	}
	b := appendRetry(nil, o.options.Retry/2, o.options.Retry*3/2)
	b = appendPosition(b, first)
	told := map[hub.ResetReason]bool{}
	for _, reset := range start.Resets {
		if !told[reset.Why] {
			told[reset.Why] = true
			b = appendReset(b, at, reset.Why)
		}
	}
	for _, channel := range o.denied {
		b = appendDenied(b, channel, reason.ChannelRefused)
	}
	return b
}

// maxEarly is how many bytes of what is live only wait for the first block.
const maxEarly = 1 << 20

// Deliver implements hub.Writer.
func (s *session) Deliver(b []byte, mark uint64) {
	s.mu.Lock()
	if o := s.opening; o != nil && !s.over {
		o.live = append(o.live, b)
		o.size += len(b)
		tooMany := o.size > maxEarly
		s.mu.Unlock()
		if tooMany {
			s.conn.Close(reason.Slow, transport.CloseNone, "")
		}
		return
	}
	over := s.over
	s.mu.Unlock()
	if over {
		return
	}
	s.conn.Write(b)
	if mark > 0 {
		s.sent(mark)
	}
}

// Reset implements hub.Writer.
func (s *session) Reset(m position.Mark) { s.goOn(m) }

// Idle implements hub.Writer.
func (s *session) Idle() bool { return s.conn.NotifyDrained() }

// Drained implements transport.Session.
func (s *session) Drained() { s.dialect.hub.Continue(&s.place) }

// Message implements transport.Session; a stream has none.
func (s *session) Message(transport.Opcode, []byte) {}

// Pong implements transport.Session; nor has it pongs.
func (s *session) Pong([]byte) {}

// Timeout implements transport.Session: one of the session's times has come.
func (s *session) Timeout() {
	now := s.now()
	if s.until != 0 && now >= s.until {
		s.end(reason.Expired, "expired")
		return
	}
	s.look(now)
	if s.isDue(&s.beatAt, now) {
		s.beat()
	}
	s.setAlarm()
}

// isDue tells whether a heartbeat's time has come, and then sets the next.
func (s *session) isDue(at *time.Duration, now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now < *at {
		return false
	}
	*at = now + s.heartbeat
	return true
}

// beat tells the client where it is. While it is being caught up with the hub
// has nothing to tell: then a comment shows proxies that the line is in use.
func (s *session) beat() {
	told := s.dialect.hub.Tell(&s.place, func(at position.Position) []byte { return appendPosition(nil, s.mask(at)) })
	if !told {
		s.conn.Write(stillHere)
	}
}

// setAlarm asks for Timeout at the next of the session's times, or sooner.
func (s *session) setAlarm() {
	s.mu.Lock()
	next := s.beatAt
	if s.until != 0 {
		next = min(next, s.until)
	}
	if at := s.delivery.lookAt; at != 0 {
		next = min(next, at)
	}
	s.mu.Unlock()
	s.conn.HastenTimeout(next - s.now())
}

// end says why, and ends the stream. The hub is left first: only what is being
// written at this moment can still come in between.
func (s *session) end(why reason.Reason, event string) {
	s.dialect.log.Debug("ending a connection", "conn", s.conn.Name(), "user", s.user(), "reason", why.String())
	s.leave()
	s.conn.Write(appendLast(nil, event, why))
	s.conn.Close(why, transport.CloseNone, "")
}

// Leave implements transport.Leaver.
func (s *session) Leave() { s.unavailable(reason.Drain) }

// unavailable sends the client away, to come back. How long it shall wait until
// then it has been told with its first block; one that has not got that yet is
// told now.
func (s *session) unavailable(why reason.Reason) {
	s.mu.Lock()
	o := s.opening
	s.mu.Unlock()
	if o != nil {
		s.leave()
		s.conn.Write(appendRetry(nil, o.options.Retry/2, o.options.Retry*3/2))
	}
	s.end(why, "unavailable")
}

// Closed implements transport.Session.
func (s *session) Closed(reason.Reason) { s.leave() }

// leave takes back all that others hold of the session. It may be called twice.
func (s *session) leave() {
	s.mu.Lock()
	over := s.over
	s.over = true
	s.mu.Unlock()
	if over {
		return
	}
	s.dialect.hub.Detach(&s.place)
	if s.dialect.follower != nil {
		s.dialect.follower.Unfollow(s.user())
	}
	s.settle()
}

// user is who it is.
func (s *session) user() string { return s.place.User() }

// now is the time on the dialect's clock.
func (s *session) now() time.Duration { return time.Since(s.dialect.started) }
