// Package bus is NATS itself: a server inside this process or one elsewhere,
// a connection that never gives up, the two streams, request and reply, and
// publishing with an acknowledgement.
//
// Start is the gateway's way in, Dial the client commands'. A Bus outlives any
// loss of its connection: Away says since when NATS is gone, OnReconnect that
// it is back, Lost that it won't be. Nothing is ever buffered for a NATS that is
// away, neither a request nor a publication: both are told at once, so that a
// caller's own deadline and id decide what happens next.
//
// The bus never deletes a stream or a message.
//
// Goroutines: the client library's own (reader, flusher, callbacks), one that
// dispatches replies, and those of the embedded server. A request that waits
// owns a timer and a table entry, no goroutine.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/config"
	"belfry/internal/subject"
)

var (
	// ErrUnavailable: NATS is away, or nobody listens on the subject.
	ErrUnavailable = errors.New("unavailable")
	// ErrTimeout: nobody answered in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrMisconfigured: time does not mend it, somebody has to change a setting.
	// The error's text names it and the remedy.
	ErrMisconfigured = errors.New("misconfigured")
	// ErrClosed: the connection was closed for good, and not by us.
	ErrClosed = errors.New("NATS has ended the connection for good")
)

// A Bus is one connection to one NATS, embedded or not. Its methods may be
// called from any goroutine.
type Bus struct {
	o        config.Options
	names    subject.Names
	log      *slog.Logger
	server   *embedded // nil when NATS is elsewhere
	url      string
	nc       *nats.Conn
	js       jetstream.JetStream
	requests requests
	link     link
	streams  streams
	restores restores

	closing sync.Once
	leaving atomic.Bool   // it is we who close the connection
	closed  chan struct{} // closed when the connection is closed for good
	lost    chan error    // why, where it was not us
}

// Start starts the embedded server, where o names no other, and connects to
// it. To an external NATS it begins to connect and returns at once: Away tells
// how that goes. An error is for good: a directory in use, a taken port, a
// file of credentials that can't be read.
func Start(o config.Options, log *slog.Logger) (*Bus, error) {
	b := newBus(o, log)
	if len(o.NATS.URL) > 0 {
		if err := b.connectTo(o.NATS.URL, nats.RetryOnFailedConnect(true)); err != nil {
			return nil, err
		}
		b.watchRestores()
		return b, nil
	}
	server, err := startServer(o, log)
	if err != nil {
		return nil, err
	}
	b.server = server
	if err := b.connectInside(); err != nil {
		server.stop()
		return nil, err
	}
	b.watchRestores()
	return b, nil
}

// Dial connects to a NATS at url, or to those in o where url is empty, with
// the credentials in o. Unlike Start it fails when none is there: a person
// waits for the answer. Once connected it reconnects as every Bus does.
func Dial(ctx context.Context, o config.Options, url string, log *slog.Logger) (*Bus, error) {
	urls := o.NATS.URL
	if url != "" {
		urls = []string{url}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: no NATS address: set nats.url", ErrMisconfigured)
	}
	wait := dialTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	if err := ctx.Err(); err != nil || wait <= 0 {
		return nil, fmt.Errorf("connect to NATS: %w", context.Cause(ctx))
	}
	b := newBus(o, log)
	if err := b.connectTo(urls, nats.Timeout(wait)); err != nil {
		return nil, err
	}
	return b, nil
}

func newBus(o config.Options, log *slog.Logger) *Bus {
	b := &Bus{o: o, names: NamesOf(o), log: log, closed: make(chan struct{}), lost: make(chan error, 1)}
	b.requests.pending = make(map[uint64]*request)
	b.link.since = time.Now()
	b.streams.settle = settleFor
	return b
}

// NamesOf are the subjects and streams that options name.
func NamesOf(o config.Options) subject.Names {
	names := subject.Default(o.NATS.Prefix)
	names.Authentication, names.AuthorizationName = o.Subjects.Authentication, o.Subjects.Authorization
	names.Notification, names.ChannelName, names.LiveName = o.Subjects.Notification, o.Subjects.Channel, o.Subjects.Live
	return names
}

// Names are the subjects and streams behind the prefix.
func (b *Bus) Names() subject.Names { return b.names }

// URL is where a backend reaches this NATS, without credentials: the embedded
// server's real address, or the configured ones joined by commas.
func (b *Bus) URL() string { return b.url }

// Embedded says whether the server is inside this process.
func (b *Bus) Embedded() bool { return b.server != nil }

// Conn is the connection, for subscriptions and core publishes. A publish on
// it while NATS is away fails with nats.ErrReconnectBufExceeded.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream is the stream API, in the configured domain.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Close fails the requests under way with ErrUnavailable, drains the
// subscriptions, closes the connection and then stops the embedded server, in
// this order: a client that outlives the server in its own process would
// reconnect to a corpse. Where ctx ends first the rest goes on behind, and the
// error says that the store may not have been closed: the next start then
// scans it (about 2 µs a message). So it is, after a second, where a Reopen was
// left before it was done. Only the first call does anything.
func (b *Bus) Close(ctx context.Context) error {
	var err error
	b.closing.Do(func() { err = b.close(ctx) })
	return err
}

// Leave closes the connection, and waits for nothing: what is under way on it is
// for nobody any more. It is for a Bus of Dial's.
func (b *Bus) Leave() {
	b.leaving.Store(true)
	b.nc.Close()
}

func (b *Bus) close(ctx context.Context) error {
	b.requests.close()
	b.leaving.Store(true)
	if b.nc.Drain() == nil {
		select {
		case <-b.closed:
		case <-ctx.Done():
		}
	}
	b.nc.Close()
	if b.server == nil {
		return nil
	}
	if b.server.left.Load() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, leaveWithin, errors.New("it was being started again"))
		defer cancel()
	}
	stopped := make(chan struct{})
	go func() {
		b.server.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the embedded NATS: %w: its store is not closed yet", context.Cause(ctx))
	}
}
