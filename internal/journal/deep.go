package journal

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
)

const (
	// deepAtOnce is how many deep reads run at once: each may load 8 MB blocks
	// of the stream. deepConns is over how many connections, so that they don't
	// hold up what is live.
	deepAtOnce = 8
	deepConns  = 2
)

// A deepReader reads from the streams what the rings do not have any more:
// deepAtOnce at once, the others wait in line, the first to come first. One
// that waits costs no goroutine.
type deepReader struct {
	dial func(ctx context.Context) (*bus.Bus, error)
	api  string
	log  *slog.Logger

	mu         sync.Mutex // guards the following
	line       list.List  // of *deepRead
	running    int
	turn       int // of the connections
	closed     bool
	complained time.Time

	links [deepConns]deepLink
}

// A deepLink is one connection, made when it is first needed.
type deepLink struct {
	mu      sync.Mutex // guards the following
	bus     *bus.Bus
	fetcher *fetcher
	closed  bool
}

// A deepRead is one that waits or runs.
type deepRead struct {
	ctx   context.Context
	query deepQuery
	done  func([]hub.Publication, uint64, error)
	place *list.Element // nil once it runs or has left the line
	stop  func() bool
}

// newDeepReader makes one with connections like b's, that are opened when they
// are needed.
func newDeepReader(b *bus.Bus, o config.Options, log *slog.Logger) *deepReader {
	url := ""
	if b.Embedded() {
		url = b.URL()
	}
	return &deepReader{
		api: apiPrefix(o.NATS.Domain),
		log: log,
		dial: func(ctx context.Context) (*bus.Bus, error) {
			return bus.Dial(ctx, o, url, log.With("for", "deep reads"))
		},
	}
}

// read is hub.History.Older: done is called once, from a goroutine of its own,
// with an error of ctx too.
func (d *deepReader) read(ctx context.Context, q deepQuery, done func([]hub.Publication, uint64, error)) {
	r := &deepRead{ctx: ctx, query: q, done: done}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		go done(nil, q.after, errClosed)
		return
	}
	r.place = d.line.PushBack(r)
	r.stop = context.AfterFunc(ctx, func() { d.leave(r) })
	d.start()
}

// waiting is how many stand in line.
func (d *deepReader) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.line.Len()
}

// start has as many run as may. Called with mu held.
func (d *deepReader) start() {
	for d.running < deepAtOnce && d.line.Len() > 0 {
		r := d.line.Remove(d.line.Front()).(*deepRead)
		r.place = nil
		d.running++
		d.turn++
		go d.run(r, &d.links[d.turn%deepConns])
	}
}

func (d *deepReader) run(r *deepRead, link *deepLink) {
	r.stop()
	batch, next, err := d.page(r, link)
	r.done(batch, next, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.complain(r, err)
	d.running--
	d.start()
}

// deepComplain is how often a failure is logged.
const deepComplain = 10 * time.Second

// complain logs a failure, not each of them: the client gets nothing meanwhile, what
// is new neither. Called with mu held.
func (d *deepReader) complain(r *deepRead, err error) {
	if err == nil || r.ctx.Err() != nil || d.closed || errors.Is(err, errEpoch) || time.Since(d.complained) < deepComplain {
		return
	}
	d.complained = time.Now()
	d.log.Warn("what clients missed can't be read from the stream: they wait, and it is tried again", "stream", r.query.stream, "waiting", d.line.Len(), "err", err)
}

func (d *deepReader) page(r *deepRead, link *deepLink) ([]hub.Publication, uint64, error) {
	f, err := link.open(r.ctx, d)
	if err != nil {
		return nil, r.query.after, err
	}
	return older(r.ctx, f, r.query)
}

// leave takes one whose asker does not want it any more out of the line.
func (d *deepReader) leave(r *deepRead) {
	d.mu.Lock()
	waits := r.place != nil
	if waits {
		d.line.Remove(r.place)
		r.place = nil
	}
	d.mu.Unlock()
	if waits {
		r.done(nil, r.query.after, context.Cause(r.ctx))
	}
}

// close ends what waits and what runs.
func (d *deepReader) close() {
	d.mu.Lock()
	d.closed = true
	var waiting []*deepRead
	for d.line.Len() > 0 {
		r := d.line.Remove(d.line.Front()).(*deepRead)
		r.place = nil
		waiting = append(waiting, r)
	}
	d.mu.Unlock()
	for _, r := range waiting {
		r.stop()
		go r.done(nil, r.query.after, errClosed)
	}
	for i := range d.links {
		d.links[i].close()
	}
}

func (l *deepLink) open(ctx context.Context, d *deepReader) (*fetcher, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.fetcher != nil && !l.bus.Conn().IsClosed() { // by NATS, for good
		return l.fetcher, nil
	}
	b, err := d.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect for deep reads: %w", err)
	}
	f, err := newFetcher(b.Conn(), d.api)
	if err != nil {
		b.Leave()
		return nil, err
	}
	b.OnReconnect(f.lost)
	l.bus, l.fetcher = b, f
	return f, nil
}

func (l *deepLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.fetcher != nil {
		l.fetcher.close()
		l.bus.Leave()
	}
}
