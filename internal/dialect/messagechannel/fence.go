package messagechannel

import (
	"sync"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/transport"
)

// A fence confirms what a client has received, though its protocol has no words
// for it: a ping behind the frames, and its pong. It rides in the same write as
// a notification, at most one is outstanding and one a second is sent; a last
// one follows a second after the last notification.
//
// A browser answers before its page has run: a confirmed notification has
// reached the client's host, not its user's eyes.
type fence struct {
	mu     sync.Mutex // guards the following; the cursor's methods are called with it held
	cursor hub.Cursor // nil: nothing is confirmed
	sent   uint64     // the newest sequence that was written
	fenced uint64     // the newest before the ping that is outstanding
	at     uint32     // when the newest was set, in ms, modulo 50 days; 0 for never
	pinged bool       // a ping is outstanding
	behind bool       // something that was written is not confirmed
	closed bool
}

const (
	// fenceEvery is the time between two fences.
	fenceEvery = time.Second
	fenceText  = "f"
)

var fenceFrame = transport.AppendPing(nil, []byte(fenceText))

// open gives the fence the cursor to confirm to.
func (f *fence) open(c hub.Cursor) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.cursor = c
	}
	f.mu.Unlock()
	if closed && c != nil {
		c.Break() // whoever closed: no frame of the client's says what it has
	}
}

// reset says that what is sent from now on is of another epoch. Of what was sent
// before, the new one has what is up to m, and nothing else can be confirmed in it.
// A ping that is outstanding stays so: its pong is not the next one's.
func (f *fence) reset(m position.Mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent, f.fenced = min(f.sent, m.Seq), min(f.fenced, m.Seq)
	f.behind = f.behind && f.sent > 0
	if f.cursor != nil {
		f.cursor.Reset(m)
	}
}

// close ends the cursor; broke says that it was not the client that ended the
// connection. It may be called twice.
func (f *fence) close(broke bool) {
	f.mu.Lock()
	c := f.cursor
	f.cursor, f.closed = nil, true
	f.mu.Unlock()
	switch {
	case c == nil:
	case broke:
		c.Break()
	default:
		c.Close()
	}
}

// write says that everything up to mark is about to be written, at that time. It
// returns whether a ping is to go with it. Where none is, wrote is to follow the
// write: until then nobody else's ping may count for it.
func (f *fence) write(mark uint64, now time.Duration) (ping bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == nil {
		return false
	}
	f.cursor.Sent(mark)
	if !f.put(max(f.sent, mark), now) {
		return false
	}
	f.note(mark)
	return true
}

// wrote returns whether a ping is to follow what was written up to mark.
func (f *fence) wrote(mark uint64) (later bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == nil {
		return false
	}
	f.note(mark)
	return !f.pinged
}

// due is write without anything to write: the last fence.
func (f *fence) due(now time.Duration) (ping, later bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == nil || f.pinged || !f.behind {
		return false, false
	}
	ping = f.put(f.sent, now)
	return ping, !ping
}

// last is due for a connection that is about to be closed, which does not wait.
func (f *fence) last(now time.Duration) (ping bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == nil || !f.behind {
		return false
	}
	f.at = 0
	return f.put(f.sent, now)
}

// passed is the pong. It returns whether another fence is to follow.
func (f *fence) passed() (later bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor == nil || !f.pinged {
		return false
	}
	f.pinged = false
	if f.fenced > 0 {
		f.cursor.Confirm(f.fenced)
	}
	f.behind = f.sent > f.fenced
	return f.behind
}

// The following are called with mu held.

func (f *fence) note(mark uint64) {
	if mark > f.sent {
		f.sent, f.behind = mark, true
	}
}

// put sets a fence behind mark if one may be set.
func (f *fence) put(mark uint64, now time.Duration) bool {
	at := uint32(now.Milliseconds())
	if f.pinged || f.at != 0 && at-f.at < uint32(fenceEvery.Milliseconds()) {
		return false
	}
	f.pinged, f.fenced, f.at = true, mark, max(at, 1)
	return true
}
