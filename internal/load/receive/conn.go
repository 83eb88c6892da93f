package receive

// A phase is how far a connection is.
type phase uint8

const (
	away        phase = iota // not connected
	connecting               // TCP
	greeting                 // the HTTP answer is to come
	presenting               // the answer to the token is to come
	subscribing              // the sign that it is subscribed is to come
	live
)

// opening tells whether it is on the way to live.
func (p phase) opening() bool { return p > away && p < live }

var phases = [...]string{"away", "connecting", "waiting for the answer to the handshake", "waiting for the answer to the token", "waiting to be subscribed", "live"}

// A conn is one connection. There are 19,000 of them in a process: no goroutine,
// no buffer unless something was read in parts or could not be written.
type conn struct {
	group    *group
	fd       int32
	slot     int32 // what epoll calls it
	number   int   // among all of the group
	phase    phase
	sentinel bool
	stalled  bool // not read from
	waits    bool // for room to write
	mute     bool // it was stalled, and only reads: an answer that comes after a close resets the connection, and what is still to be read is gone with it
	caught   bool
	began    int64 // ns, when it began to connect
	track    track
	rest     []byte // read, and not the whole of anything
	part     []byte // the same one level up, for NATS: taken out of frames
	out      []byte // to be written
	at       []byte // its position, where it keeps one
	why      string // what the other side said before it closed
}

func (c *conn) index() int { return c.group.Base + c.number%c.group.Mod }

// subscribed is called when the other side has said so.
func (c *conn) subscribed(now int64) {
	if c.phase != subscribing {
		return
	}
	c.phase = live
	g := c.group
	g.opening--
	g.count.Subscribed++
	g.spreads[c.number%g.Mod].conns++
	_ = g.connect.RecordValue(max(now-c.began, 0) / 1000)
}

// A protocol is a dialect, seen from a client. Nothing in it calls the system:
// what it wants to send it appends to a connection's out.
type protocol interface {
	// request is the first that is sent.
	request(c *conn) []byte
	// read takes whole messages from the front of b, and returns their bytes. The
	// connection is to be ended when it returns an error, which is the reason;
	// now is when b was read.
	read(c *conn, b []byte, now int64) (int, error)
	// goodbye is sent before a connection is closed in good order.
	goodbye() []byte
}
