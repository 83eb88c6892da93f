package transport

import "belfry/internal/reason"

// liveness is what the clock remembers of a connection between two looks.
type liveness struct {
	closeBy  ticks  // guarded by Conn.mu: cut it off then; 0 when it is not closing
	pingedAt ticks  // the clock's: when the ping went out, or TCP last moved; 0 for none
	moved    uint32 // the clock's: what TCP had acknowledged by then, its low bits
}

// tick is the clock's look at a connection. It returns when to look again, or
// false for never.
//
// A client that has been silent for the ping interval is sent a ping. One that
// is silent after it too is gone, unless TCP shows that it still takes bytes: a
// slow line that moves is not closed.
func (c *Conn) tick(now ticks) (again ticks, ok bool) {
	c.mu.Lock()
	flags, closeBy := c.flags, c.liveness.closeBy
	c.mu.Unlock()
	switch {
	case flags&dead != 0:
		return 0, false
	case flags&closing != 0:
		if now >= closeBy {
			c.end(reason.ClientGone)
			return 0, false
		}
		return closeBy, true
	}
	if at := ticks(c.timeoutAt.Load()); at != 0 {
		if now >= at && c.timeoutAt.CompareAndSwap(uint32(at), 0) {
			c.guard(c.session.Timeout)
		} else {
			again = at
		}
	}
	return soonest(again, c.checkAlive(now)), true
}

// checkAlive pings or gives up, and returns when to look again.
func (c *Conn) checkAlive(now ticks) ticks {
	s, l := c.server, &c.liveness
	if c.isStream() {
		return c.checkMoving(now)
	}
	fenced := ticks(c.fencedAt.Load())
	heard := ticks(c.heardAt.Load())
	// The second: that ping was answered between two looks, and this one is newer.
	if fenced != 0 && (l.pingedAt == 0 || fenced > l.pingedAt && heard >= l.pingedAt) {
		l.pingedAt, l.moved = fenced, c.driver.acknowledged(c)
	}
	if l.pingedAt != 0 && (fenced != 0 || heard < l.pingedAt) {
		if now < l.pingedAt+s.ponging {
			return l.pingedAt + s.ponging
		}
		if moved := c.driver.acknowledged(c); moved != l.moved {
			l.pingedAt, l.moved = now, moved
			return now + s.ponging
		}
		c.Close(reason.NoPong, ClosePolicy, "no pong")
		c.endWhenWritten() // no answer is to be expected
		return now + 1
	}
	l.pingedAt = 0
	if now < heard+s.pinging {
		return heard + s.pinging
	}
	l.pingedAt, l.moved = now, c.driver.acknowledged(c)
	c.write(pingFrame, false)
	return now + s.ponging
}

// checkMoving is checkAlive for a stream, which is never pinged: what its dialect
// writes from time to time has to be taken.
func (c *Conn) checkMoving(now ticks) ticks {
	s, l := c.server, &c.liveness
	unsent, exact := c.unsent()
	if unsent == 0 && exact {
		l.pingedAt = 0
		return now + s.pinging
	}
	moved := c.driver.acknowledged(c)
	switch {
	case unsent == 0 || l.pingedAt == 0 || moved != l.moved:
		l.pingedAt, l.moved = now, moved
	case now >= l.pingedAt+s.ponging:
		c.Close(reason.NoPong, CloseNone, "")
		c.end(reason.NoPong)
	}
	return now + s.ponging
}

var pingFrame = AppendFrame(nil, opPing, nil)

// soonest is the earlier of two ticks, of which a may be 0 for never.
func soonest(a, b ticks) ticks {
	if a != 0 && a < b {
		return a
	}
	return b
}
