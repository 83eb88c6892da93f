package transport

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/reason"
)

// Conn is one open connection. Its size is the memory of an idle client, so it
// holds nothing that can be had elsewhere; a test keeps it within bounds.
type Conn struct {
	id      uint64
	server  *Server
	session Session
	driver  driver
	in      *inbound // the reading goroutine's; nil between messages

	mu    sync.Mutex // guards the following, down to flags
	out   *queue     // what waits for the socket; nil when nothing does
	flags connFlags
	why   reason.Reason // of the first Close or end

	dialect   uint8
	deaf      atomic.Bool // nothing that comes is read any more
	readLimit int32       // bytes of a message

	timeoutAt atomic.Uint32 // Session.Timeout is due at this tick; 0 for never
	fencedAt  atomic.Uint32 // when a ping of the session's own went out; 0 once something was heard
	heardAt   atomic.Uint32 // the tick at which something was read last
	entry     wheelEntry
	liveness  liveness
	socket    socketState
}

type connFlags uint8

const (
	// busy: somebody is writing to the socket and will send what others queue.
	busy connFlags = 1 << iota
	// closing: the close frame is sent or queued; nothing follows it.
	closing
	// ending: the connection ends as soon as nothing waits any more.
	ending
	// dead: no call on the socket may begin; the reading goroutine will finish.
	dead
	// waiting: the driver has been asked to resume when the socket takes bytes.
	waiting
	// watched: the driver can be asked.
	watched
	// notify: Session.Drained is to be called when nothing waits any more.
	notify
	// stream: what is written are no frames, and nothing is read.
	stream
)

// A driver is a connection's way to its socket.
type driver interface {
	// blocks says that write may block, so that it must have a goroutine.
	blocks() bool
	// write sends the start of b and returns how many bytes went out; fewer than
	// there are, with no error, means that the socket takes no more now.
	write(c *Conn, b []byte) (int, error)
	// writeAll is write for several buffers at once.
	writeAll(c *Conn, bufs [][]byte) (int, error)
	// resume has c.pump called once the socket takes bytes again.
	resume(c *Conn)
	// unsent is how many bytes the kernel still has, where it can tell.
	unsent(c *Conn) (bytes int64, exact bool)
	// acknowledged is a count that grows, and wraps, while the other host takes
	// bytes.
	acknowledged(c *Conn) uint32
	// release has c.finish called by the goroutine that reads, soon.
	release(c *Conn)
}

// ID tells the connections of a gateway apart, across its restarts too.
func (c *Conn) ID() uint64 { return c.id }

// Name is the id as logs and requests to the backend have it.
func (c *Conn) Name() string { return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, c.id)) }

// SetTimeout has Session.Timeout called once, after d or up to a tick (1 s)
// later; 0 for never. A later call replaces an earlier one.
func (c *Conn) SetTimeout(d time.Duration) {
	if d <= 0 {
		c.timeoutAt.Store(0)
		return
	}
	at := c.server.wheel.time() + c.server.ticks(d) + 1
	c.timeoutAt.Store(uint32(at))
	c.server.wheel.hasten(c, at)
}

// HastenTimeout is SetTimeout where no sooner time is set: that stays.
func (c *Conn) HastenTimeout(d time.Duration) {
	at := c.server.wheel.time() + c.server.ticks(max(d, 1)) + 1
	for {
		before := c.timeoutAt.Load()
		if before != 0 && ticks(before) <= at {
			return
		}
		if c.timeoutAt.CompareAndSwap(before, uint32(at)) {
			c.server.wheel.hasten(c, at)
			return
		}
	}
}

// Write queues whole frames behind everything written before and returns at
// once; it writes them itself if it can without blocking. b is kept, never
// changed, and may be shared with other connections. More than the queue's
// bound closes the connection as slow. What is under way does not count, nor
// does the first that waits behind it: a large frame, or many joined under load,
// can't close a client that reads, whatever the bound.
func (c *Conn) Write(b []byte) { c.write(b, true) }

func (c *Conn) write(b []byte, bounded bool) {
	c.mu.Lock()
	if c.flags&(closing|dead) != 0 {
		c.mu.Unlock()
		return
	}
	c.send(b, bounded)
}

// send is called with mu held and returns with it free.
func (c *Conn) send(b []byte, bounded bool) {
	if c.flags&busy != 0 || c.out != nil {
		if behind := c.behindFirst(); bounded && behind > 0 && behind+int64(len(b)) > c.server.queue.Load() {
			c.mu.Unlock()
			c.Close(reason.Slow, ClosePolicy, "reads too slowly")
			return
		}
		c.enqueue(b)
		c.mu.Unlock()
		return
	}
	c.flags |= busy
	if c.driver.blocks() {
		c.enqueue(b)
		c.mu.Unlock()
		go c.pumpBusy()
		return
	}
	c.mu.Unlock()
	n, err := c.driver.write(c, b)
	c.mu.Lock()
	if err == nil && n == len(b) && c.out == nil && c.flags&(dead|ending|notify) == 0 { // nearly always
		c.flags &^= busy
		c.mu.Unlock()
		return
	}
	if n < len(b) {
		c.enqueueFirst(b[n:])
	}
	c.wrote(err, n < len(b))
}

// pump sends what waits, unless somebody is at it. Drivers call it when the
// socket takes bytes again.
func (c *Conn) pump() {
	c.mu.Lock()
	c.flags &^= waiting
	if c.flags&(busy|dead) != 0 || c.out == nil {
		c.mu.Unlock()
		return
	}
	c.flags |= busy
	c.mu.Unlock()
	c.pumpBusy()
}

// maxBuffers is how many waiting buffers go into one system call.
const maxBuffers = 64

// pumpBusy is pump for the one who has set busy.
func (c *Conn) pumpBusy() {
	scratch := scratches.Get().(*[maxBuffers][]byte)
	defer func() {
		clear(scratch[:])
		scratches.Put(scratch)
	}()
	for {
		c.mu.Lock()
		if c.out == nil || c.flags&dead != 0 {
			c.wrote(nil, false)
			return
		}
		bufs := scratch[:copy(scratch[:], c.out.bufs)]
		want := total(bufs)
		c.mu.Unlock()
		n, err := c.driver.writeAll(c, bufs)
		c.mu.Lock()
		c.dequeue(n)
		if err != nil || n < want {
			c.wrote(err, err == nil)
			return
		}
		c.mu.Unlock()
	}
}

// scratches are pumpBusy's: on its stack one would be moved to the heap each time,
// as it goes into a driver's call.
var scratches = sync.Pool{New: func() any { return new([maxBuffers][]byte) }}

// wrote ends a turn of writing: it hands on to whoever comes next. full says
// that the socket took less than there was. Called with mu held, returns with
// it free.
func (c *Conn) wrote(err error, full bool) {
	if err == nil && !full && c.out != nil && c.flags&dead == 0 {
		c.mu.Unlock()
		c.pumpBusy() // others queued something meanwhile
		return
	}
	if err == nil && full && c.flags&(dead|watched) == watched {
		// Still busy, so that the descriptor can't be closed under the call.
		c.flags |= waiting
		c.mu.Unlock()
		c.driver.resume(c)
		c.mu.Lock()
		if c.flags&(waiting|dead) == 0 { // it did already, and found us busy
			c.mu.Unlock()
			c.pumpBusy()
			return
		}
	}
	c.flags &^= busy
	flags, empty := c.flags, c.out == nil
	if empty {
		c.flags &^= notify
	}
	c.mu.Unlock()
	switch {
	case flags&dead != 0:
		c.driver.release(c) // who ended it left that to us
	case err != nil, empty && flags&ending != 0:
		c.end(reason.ClientGone)
	case empty && flags&notify != 0:
		c.guard(c.session.Drained)
	}
}

// begin says that the driver watches the socket. A connection is made busy, so
// that what its session writes before that waits; pumpBusy comes after begin.
func (c *Conn) begin() {
	c.mu.Lock()
	c.flags |= watched
	c.mu.Unlock()
}

// NotifyDrained tells whether nothing waits for the client. If something does,
// Session.Drained is called when it has gone out. From Close on it is false, and
// Closed is what follows: what is written goes nowhere.
func (c *Conn) NotifyDrained() (drained bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&(closing|dead) != 0 {
		return false
	}
	if c.out == nil && c.flags&busy == 0 {
		return true
	}
	c.flags |= notify
	return false
}

// ExpectPong says that a ping of the session's own is about to be written:
// silence for the pong timeout ends the connection as after one of the
// transport's. It comes before that Write, whose pong may be read before Write
// returns.
func (c *Conn) ExpectPong() {
	now := c.server.wheel.time()
	c.fencedAt.Store(uint32(now))
	c.server.wheel.hasten(c, now+1)
}

// Unsent is how many bytes the other host's TCP has not taken yet. exact is
// false where the system does not tell: then it is what waits in the process.
// From Close on it is never 0: what is written is dropped.
func (c *Conn) Unsent() (bytes int64, exact bool) {
	bytes, exact = c.unsent()
	if c.isClosing() {
		bytes++
	}
	return bytes, exact
}

func (c *Conn) unsent() (bytes int64, exact bool) {
	c.mu.Lock()
	if c.out != nil {
		bytes = c.out.size
	}
	c.mu.Unlock()
	// After the queue: what leaves it meanwhile is counted twice, not missed.
	kernel, exact := c.driver.unsent(c)
	return bytes + kernel, exact
}

// Close sends a close frame with this code and text (at most 123 bytes) behind
// everything written before, and ends the connection when the client has
// answered or after 5 s. What the client sends meanwhile is ignored, but for
// pongs; what is written after it is dropped. The first Close counts. A slow
// client's queue is cut off behind the frame that is under way, so that it learns
// of it soon. A stream has no close frame: it ends when everything has gone out.
func (c *Conn) Close(why reason.Reason, code uint16, text string) {
	c.mu.Lock()
	if c.flags&(closing|dead) != 0 {
		c.mu.Unlock()
		return
	}
	c.flags |= closing
	c.why = why
	if why == reason.Slow && c.out != nil {
		c.cutQueue()
	}
	c.liveness.closeBy = c.server.wheel.time() + c.server.closing + 1
	if c.flags&stream != 0 {
		c.mu.Unlock()
		c.endWhenWritten()
	} else {
		c.send(closeFrame(code, text), false)
	}
	c.server.wheel.hasten(c, c.server.wheel.time()+c.server.closing+1)
}

// heard notes that the client is there.
func (c *Conn) heard() {
	c.heardAt.Store(c.server.wheel.now.Load())
	if c.fencedAt.Load() != 0 {
		c.fencedAt.Store(0)
	}
}

func (c *Conn) isStream() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&stream != 0
}

func (c *Conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&(closing|dead) != 0
}

// fail closes for what the client did wrong. Nothing after it can be understood.
func (c *Conn) fail(f *fault) {
	c.deaf.Store(true)
	c.in = nil
	c.Close(f.why, f.code, f.text)
}

// endWhenWritten ends the connection once the last byte has gone out: both
// sides have said that they close.
func (c *Conn) endWhenWritten() {
	c.mu.Lock()
	c.flags |= ending
	idle := c.out == nil && c.flags&busy == 0
	c.mu.Unlock()
	if idle {
		c.end(reason.ClientClosed)
	}
}

// end cuts the connection off. The reason counts if none was given before.
func (c *Conn) end(why reason.Reason) {
	c.mu.Lock()
	if c.flags&dead != 0 {
		c.mu.Unlock()
		return
	}
	c.flags |= dead
	if c.why == reason.None {
		c.why = why
	}
	writing := c.flags&busy != 0
	c.mu.Unlock()
	if !writing || c.driver.blocks() { // a writer that can't block releases it itself
		c.driver.release(c)
	}
}

// finish is the connection's end, on the goroutine that read it: after it the
// socket may be closed. A driver calls it once; it returns false while somebody
// is still writing, who then has it called again.
func (c *Conn) finish() bool {
	c.mu.Lock()
	if c.flags&busy != 0 {
		c.mu.Unlock()
		return false
	}
	c.clearQueue()
	why := c.why
	c.mu.Unlock()
	c.server.wheel.remove(c)
	c.server.stats.closes[why].Add(1)
	c.guard(func() { c.session.Closed(why) })
	// Last: who waits for no connection to be left has seen its Closed.
	c.server.stats.add(c.dialect, -1)
	return true
}

// errPanic is what a session's panic is turned into.
var errPanic = errors.New("panic in a session")

// guard runs a session's code: a bug there costs its own connection only.
func (c *Conn) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.server.options.Log.Error("a connection is closed because of a bug",
				"conn", c.Name(), "reason", reason.Internal.String(),
				"err", fmt.Errorf("%w: %v", errPanic, p), "stack", string(debug.Stack()))
			c.Close(reason.Internal, CloseInternal, "internal error")
		}
	}()
	f()
}
