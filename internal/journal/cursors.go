package journal

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/subject"
)

// ErrClosed is what Open says after Close.
var ErrClosed = errors.New("the delivered cursors are closed")

// Cursors are the delivered cursors of the users that are connected to this
// gateway: for each the highest sequence of the personal channels' stream that
// one of the user's connections has received, on any gateway, and the tickets
// of those that broke off.
//
// The truth is a record per user in a bucket, which gateways change by
// compare-and-set. Here is a copy of it, merged with what is not written yet,
// for as long as the user is connected or something is unwritten (about 130
// bytes per user with one connection, measured). Every change is written: when a
// connection ends, on Flush, else within 5 s, as far as the cap on writes
// allows. What can't be written is tried again.
//
// Goroutines: one that writes what is due, and one while the bucket is looked
// for. Nothing waits on a goroutine of its own, and there is no timer per user.
type Cursors struct {
	store *cursorStore
	names subject.Names
	log   *slog.Logger
	now   func() time.Time // for what is due
	began time.Time
	date  func() time.Time // for how long tickets are kept, which all gateways know
	away  func() bool
	// ensure makes the bucket fit for use, or says why it is not.
	ensure func(context.Context) error
	// quiet tells up to where a channel has nothing above a sequence, if that is
	// known. A connection that ends then leaves a record that has moved on with
	// the stream, so that a user who gets little does not seem to have missed
	// what expired. nil for none. It is set before the first Open, is called
	// without mu, and must not block.
	quiet func(channel string, after uint64) (upTo position.Mark, ok bool)
	// present asks for the stream's present epoch, and calls done once. It is asked
	// before a record of another epoch is overwritten: another gateway may have seen
	// earlier that the stream has a new one. nil for no doubt; otherwise as quiet.
	present func(done func(epoch string, err error))

	wake chan struct{} // something is to be written now; of one place
	ctx  context.Context
	quit context.CancelFunc
	gone chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex // guards the following, and what entries and cursors say so of
	closed    bool
	table     map[string]*cursorEntry // by key
	connected int                     // entries with connections
	vacant    []chan struct{}         // closed when there are none
	epochs    cursorEpochs
	line      cursorFIFO[*cursorEntry] // want to be read, when one of cursorReads is free
	reading   int                      // reads under way, and what follows from them
	writes    cursorWrites
	out       []func() // to be called by unlock
	stats     CursorStats
}

const (
	// cursorReads bounds how many users are being read at once. More would not
	// be quicker, and the server has a line for them of 10,000.
	cursorReads = 512

	// cursorOrphans bounds the users that are gone and unwritten, while NATS is
	// away. It is some 35 MB.
	cursorOrphans = 256 << 10
)

func newCursors(b *bus.Bus, names subject.Names, o config.Options, log *slog.Logger, date *storeDate) *Cursors {
	k := makeCursors(newCursorStore(b, o.NATS.Domain), names, log)
	k.date = date.time
	k.away = func() bool { _, away := b.Away(); return away }
	k.ensure = func(ctx context.Context) error {
		return k.store.ensure(ctx, b.JetStream(), names.Notifications(), o.Stream.Manage)
	}
	go k.run()
	return k
}

// makeCursors is newCursors without the goroutine.
func makeCursors(store *cursorStore, names subject.Names, log *slog.Logger) *Cursors {
	ctx, quit := context.WithCancel(context.Background())
	return &Cursors{
		store: store, names: names, log: log, ctx: ctx, quit: quit,
		now:    time.Now,
		began:  time.Now(),
		date:   time.Now,
		away:   func() bool { return false },
		ensure: func(context.Context) error { return nil },
		wake:   make(chan struct{}, 1),
		gone:   make(chan struct{}),
		table:  map[string]*cursorEntry{},
		epochs: cursorEpochs{ids: map[string]uint32{}, before: map[string]position.Mark{}},
	}
}

// Ensure sees to it that the bucket exists and is fit for use, as stream.manage
// says. The stream of the personal channels must exist: the bucket is made as
// old and as safe. Errors are as those of bus.EnsureStreams: what wraps
// bus.ErrMisconfigured stays until somebody changes something.
func (k *Cursors) Ensure(ctx context.Context) error { return k.ensure(ctx) }

// Close stops writing. What should not be lost is to be Flushed before.
func (k *Cursors) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.quit()
	<-k.gone
}

// Open enters a connection of a user, or of one of the user's devices where
// device is not empty, and calls done once with where it starts: behind seq, in
// the stream's epoch that is named. done runs on another goroutine, which
// replies wait for: it must not block.
//
// from is where the stream stood when the connection was let in, in its present
// epoch: the connection starts no later, as what its user's others have got since
// then it has not. With tickets it takes over the oldest ticket there is, and
// leaves one if it breaks off.
//
// found is false where nothing is known of the user. Then, and where the epoch
// that is returned is not the present one, the caller decides where the
// connection starts, and tells the cursor by its Reset. An error says that it
// can't be settled now (NATS away, the bucket missing), or never, if it wraps
// subject.ErrID; there is no cursor then.
func (k *Cursors) Open(user, device string, from position.Mark, tickets bool, done func(seq uint64, found bool, epoch string, c hub.Cursor, err error)) {
	key, err := k.names.Cursor(user, device)
	k.lock()
	defer k.unlock()
	if err == nil && k.closed {
		err = ErrClosed
	}
	if err != nil {
		k.later(func() { done(0, false, "", nil, err) })
		return
	}
	e := k.table[key]
	if e == nil {
		e = &cursorEntry{k: k, key: key}
		k.table[key] = e
	}
	k.join(e)
	id := k.epochs.id(from.Epoch)
	k.adopt(e, id)
	w := e.working()
	w.opens = append(w.opens, cursorOpen{id, from.Seq, tickets, done})
	k.lineUp(e)
}

// clock is a time in ns that does not step, as the wall's may.
func (k *Cursors) clock() int64 { return int64(k.now().Sub(k.began)) }

// lock and unlock hold mu. unlock then calls what was left with later: it may
// take time, or come back.
func (k *Cursors) lock() { k.mu.Lock() }

func (k *Cursors) unlock() {
	out := k.out
	k.out = nil
	k.mu.Unlock()
	for _, f := range out {
		f()
	}
}

func (k *Cursors) later(f func()) { k.out = append(k.out, f) }

// follows says that the stream's epoch changed, and up to where the new one is
// the same as the one before.
func (k *Cursors) follows(before string, m position.Mark) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epochs.before[m.Epoch] = position.Mark{Epoch: before, Seq: m.Seq}
}

// cursorEpochs number the epochs that the stream has had: few, and each entry
// and each connection names one.
type cursorEpochs struct {
	ids    map[string]uint32
	names  []string
	before map[string]position.Mark // by the one that followed it, with what both have
}

// shared is up to where two epochs are the same, where it is known that one
// followed the other.
func (c *cursorEpochs) shared(before, now string) (seq uint64, known bool) {
	seq = math.MaxUint64
	for range len(c.before) {
		m, ok := c.before[now]
		if !ok {
			return 0, false
		}
		seq, now = min(seq, m.Seq), m.Epoch
		if now == before {
			return seq, true
		}
	}
	return 0, false
}

func (c *cursorEpochs) id(name string) uint32 {
	id, ok := c.ids[name]
	if !ok {
		id = uint32(len(c.names))
		c.names = append(c.names, name)
		c.ids[name] = id
	}
	return id
}

func (c *cursorEpochs) name(id uint32) string { return c.names[id] }
