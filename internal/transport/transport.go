// Package transport carries frames between clients and dialects. It knows
// bytes, not their meaning.
//
// On Linux an idle connection over plain TCP owns no goroutine and no buffer:
// one event loop per core (epoll) reads all of them into a buffer of the loop's
// and parses frames where they were read. TLS, and every other system, takes a
// goroutine per connection behind the same Conn; the build tag "portable" and
// Options.Portable choose that path on Linux too.
//
// Where there are event loops sockets wait at a Door for the head of their
// request, and handshakes are answered there, past net/http.
//
// Who runs where:
//
//   - An event loop, or a connection's own reader, calls Session.Message and,
//     as the last thing, Session.Closed.
//   - At a door, an event loop calls handlers that do not wait; one that does has
//     a goroutine. A goroutine of the door's ends visitors who take too long.
//   - The clock, one goroutine a Server, calls Session.Timeout and sends pings.
//   - Whoever calls Conn.Write writes to the socket itself if nobody else is
//     doing so; else what it brought is sent by the one who is.
//
// Lock order: Conn.mu, wheel.mu, loop.mu, door.mu and visitor.mu are leaves. None
// is held over a system call on a client's socket (epoll_ctl aside) or over a
// call into a Session.
package transport

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"belfry/internal/reason"
)

// A Session is a dialect's side of a connection.
//
// Message calls come one at a time and in order, Closed after the last of
// them. Timeout may come from another goroutine at any time before Closed
// returns. All may call the Conn's methods, none may block: an event loop
// waits for it. Of a stream (AcceptStream) there are no Message and Pong calls.
type Session interface {
	// Message is a whole message of the client's, at most the read limit given
	// to Accept. A text message is valid UTF-8. p is valid during the call only.
	Message(op Opcode, p []byte)
	// Pong is the answer to a ping of the dialect's own (AppendPing), with its
	// payload. A client may send one unasked. One may come after Conn.Close.
	Pong(payload []byte)
	// Drained says that nothing waits for the client any more, after
	// Conn.NotifyDrained returned false. Any goroutine that writes may call it.
	Drained()
	// Timeout says that the time set by Conn.SetTimeout is over.
	Timeout()
	// Closed is the last call: the connection is gone, and why.
	Closed(why reason.Reason)
}

// A Leaver is a Session that has something to write when its gateway is going
// away: a stream has no close codes, and a ping's pong still counts. The
// connection is closed behind it. Any goroutine calls Leave.
type Leaver interface{ Leave() }

// Options of a Server. The zero value of a field is its default.
type Options struct {
	Connections  int           // how many at most; 0 is DefaultConnections()
	Queue        int64         // bytes that may wait for one connection; 0 is 1 MiB
	PingInterval time.Duration // silence before a ping; 0 is 25 s
	PongTimeout  time.Duration // silence after it that closes; 0 is 10 s
	CloseTimeout time.Duration // how long a close frame waits for its answer; 0 is 5 s
	Tick         time.Duration // how exact these times are; 0 is 1 s
	Portable     bool          // a goroutine per connection even where there is an event loop
	Loops        int           // event loops; 0 is one per core
	Log          *slog.Logger  // nil is slog.Default()
}

func (o Options) withDefaults() Options {
	orElse(&o.Connections, DefaultConnections())
	orElse(&o.Queue, 1<<20)
	orElse(&o.PingInterval, 25*time.Second)
	orElse(&o.PongTimeout, 10*time.Second)
	orElse(&o.CloseTimeout, 5*time.Second)
	orElse(&o.Tick, time.Second)
	orElse(&o.Log, slog.Default())
	return o
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// A Server has the connections of one gateway.
type Server struct {
	options Options
	pinging ticks // Options.PingInterval
	ponging ticks // Options.PongTimeout
	closing ticks // Options.CloseTimeout

	connections atomic.Int64 // the most there may be
	queue       atomic.Int64 // the most bytes that may wait for one of them

	pollers []poller
	next    atomic.Uint32 // the poller that takes the next connection
	wheel   wheel
	stats   counters
	ids     atomic.Uint64

	leaving chan struct{} // closed when no connection is accepted any more
	leave   func()        // closes it, the first time
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

// A poller reads many sockets. There is one kind, the event loop of Linux.
type poller interface {
	// adopt takes the socket over from nc, which it closes, and returns the
	// driver that c writes through. It fails, leaving nc as it was, for what is
	// no plain TCP socket.
	adopt(c *Conn, nc net.Conn) (driver, error)
	// watch begins to read.
	watch(c *Conn)
	// close ends the poller's goroutine. No connection is left by then.
	close()
}

// New starts the event loops and the clock. It fails where the system gives no
// descriptors for them.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{options: o, leaving: make(chan struct{}), stop: make(chan struct{})}
	s.leave = sync.OnceFunc(func() { close(s.leaving) })
	s.pinging, s.ponging, s.closing = s.ticks(o.PingInterval), s.ticks(o.PongTimeout), s.ticks(o.CloseTimeout)
	s.SetLimits(o.Connections, o.Queue)
	s.ids.Store(firstID())
	s.wheel.init()
	if !o.Portable {
		pollers, err := startPollers(o.Loops, o.Log)
		if err != nil {
			return nil, err
		}
		s.pollers = pollers
	}
	s.stopped.Add(1)
	go s.clock()
	return s, nil
}

// SetLimits takes over new bounds: for the number of connections (0 is
// DefaultConnections()) and for the bytes that may wait for one (0 is 1 MiB).
// Connections beyond a lower bound stay.
func (s *Server) SetLimits(connections int, queue int64) {
	orElse(&connections, DefaultConnections())
	orElse(&queue, 1<<20)
	s.connections.Store(int64(connections))
	s.queue.Store(queue)
}

// clock drives the wheel, one tick after another, until the server stops.
func (s *Server) clock() {
	defer s.stopped.Done()
	ticker := time.NewTicker(s.options.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.wheel.advance()
		case <-s.stop:
			return
		}
	}
}

// ticks is a duration on the wheel, rounded up.
func (s *Server) ticks(d time.Duration) ticks {
	return ticks((d + s.options.Tick - 1) / s.options.Tick)
}

// Drain has every client come back elsewhere: it closes the connections one by
// one, in an order that has nothing to do with who came when, spread over d at
// an even pace with some chance in it, so that gateways that drain together
// don't keep in step. WebSockets get code 1012, and a session that is a Leaver
// says it its own way. Nobody is accepted any more; who was being accepted is
// sent away as soon as there is a session. It returns when the turn of each has
// come and all are gone, or those that do not answer have been cut off; and with
// Close.
func (s *Server) Drain(d time.Duration) {
	s.leave()
	all := s.wheel.leave()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	began, wait := time.Now(), time.NewTimer(0)
	defer wait.Stop()
	for i, c := range all {
		due := float64(d) * (float64(i) + rand.Float64()) / float64(len(all))
		wait.Reset(max(0, time.Until(began.Add(time.Duration(due)))))
		select {
		case <-wait.C:
		case <-s.stop:
			return
		}
		c.sendAway()
	}
	s.awaitNone(s.options.CloseTimeout + 2*s.options.Tick)
}

// Leaving is closed when Drain or Close has begun: who waits to be accepted
// waits in vain.
func (s *Server) Leaving() <-chan struct{} { return s.leaving }

func (s *Server) isLeaving() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}

func (c *Conn) sendAway() {
	if c.isClosing() {
		return
	}
	if l, ok := c.session.(Leaver); ok {
		c.guard(l.Leave)
	}
	c.Close(reason.Drain, CloseRestart, restarting)
}

const restarting = "the gateway is restarting, please come back"

// Close cuts every connection off and stops the loops. It may be called twice.
func (s *Server) Close() {
	s.once.Do(func() {
		s.leave()
		close(s.stop)
		s.stopped.Wait()
		for _, c := range s.wheel.leave() {
			c.end(reason.Drain)
		}
		s.awaitNone(5 * time.Second)
		for _, p := range s.pollers {
			p.close()
		}
	})
}

// awaitNone waits until no connection is left, at most d.
func (s *Server) awaitNone(d time.Duration) {
	deadline := time.Now().Add(d)
	for s.stats.open.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(2 * time.Millisecond)
	}
}
