package hub

import (
	"hash/maphash"
	"strings"

	"belfry/internal/position"
)

// A Writer is what the hub needs of a connection: its dialect's session.
type Writer interface {
	// Deliver queues b behind everything delivered before and returns at once. b
	// is shared between connections: it is never changed and may be kept. mark is
	// the newest sequence in b of the user's own personal channel, 0 for none.
	// One goroutine at a time calls it with a mark.
	Deliver(b []byte, mark uint64)
	// Reset says that the stream of the user's own personal channel has another
	// epoch: marks that follow are of that, behind m. It comes in order with
	// Deliver.
	Reset(m position.Mark)
	// Idle tells whether nothing waits for the client any more. Where something
	// does, Hub.Continue is to be called when it has gone out.
	Idle() bool
}

// A Conn is one connection's place in the hub, by value inside the dialect's
// own state; Hub.Attach fills it. The zero value is not attached.
type Conn struct {
	w        Writer
	encoding *Encoding
	shard    *shard
	personal string // the user's own personal channel
	// The shard's mu guards the following.
	subs *subscription // all of them, in a list
	own  subscription  // the room for the first: most connections have one
}

// A subscription is one connection's place in one channel.
type subscription struct {
	conn    *Conn
	channel *channel // nil: not in use
	next    *subscription
	catchup *catchup // not nil: what is stored comes from there, not from the channel
	sent    uint64   // the number of the last publication that was written, or passed by
	index   int32    // in channel.subs
	own     bool     // the user's own personal channel
}

// Attach gives a connection that is authenticated as user a place in the hub.
// It is subscribed to nothing yet.
func (h *Hub) Attach(c *Conn, w Writer, e *Encoding, user string) {
	c.w, c.encoding, c.personal = w, e, "#"+user
	c.shard = h.shards[maphash.String(h.seed, user)%uint64(len(h.shards))]
}

// User is whom the connection was attached for, empty before that.
func (c *Conn) User() string { return strings.TrimPrefix(c.personal, "#") }

// Personal is the user's own personal channel, "#" and the user id.
func (c *Conn) Personal() string { return c.personal }

// Detach takes the connection and all its subscriptions out. A write that is
// under way may still be made. It may be called twice, and for a Conn that was
// never attached.
func (h *Hub) Detach(c *Conn) {
	if c.shard == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	for c.subs != nil {
		c.shard.unsubscribe(c.subs)
	}
}

// Subscribe has what is published on the channel from now on written to c:
// once, however often it is subscribed to.
func (h *Hub) Subscribe(c *Conn, channel string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.find(channel) == nil {
		c.shard.subscribe(c, channel, nil)
	}
}

// Unsubscribe ends that.
func (h *Hub) Unsubscribe(c *Conn, channel string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if sub := c.find(channel); sub != nil {
		c.shard.unsubscribe(sub)
	}
}

// owns tells whether a channel is the user's own personal one.
func (c *Conn) owns(channel string) bool { return channel == c.personal }

// readsOwn tells whether the user's own personal channel, of that stream, is
// among those of the connection. Called with the shard's mu held.
func (c *Conn) readsOwn(stream position.Stream) bool {
	if stream != position.Notifications {
		return false
	}
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.own {
			return true
		}
	}
	return false
}

// find is called with the shard's mu held.
func (c *Conn) find(channel string) *subscription {
	for sub := c.subs; sub != nil; sub = sub.next {
		if sub.channel.name == channel {
			return sub
		}
	}
	return nil
}

// unlink takes sub out of the connection's list. Called with the shard's mu held.
func (c *Conn) unlink(sub *subscription) {
	for at := &c.subs; *at != nil; at = &(*at).next {
		if *at == sub {
			*at = sub.next
			return
		}
	}
}
