package hub_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A model is a history that keeps everything, of which memory has the newest.
type model struct {
	hub  *hub.Hub
	mu   sync.Mutex // guards the following
	all  [position.Count][]hub.Publication
	low  [position.Count]uint64 // memory has what is above
	gone [position.Count]uint64 // up to here nothing is retained
	fail int                    // so many reads from the stream fail
	deep int                    // reads from the stream
	// prompt reads are back before Older returns: what follows is another's turn
	// while the one that asked is still in its own.
	prompt bool
	// resolved, if set, is asked instead of the position.
	resolved func(hub.Query) hub.Start
	// behind, if set, is called behind a resolution.
	behind func()
}

const epoch = "e"

// publish stores and publishes n publications on a channel.
func (m *model) publish(channel string, numbers ...uint64) {
	stream := position.Of(channel)
	m.mu.Lock()
	var batch []hub.Publication
	for _, n := range numbers {
		p := publication(channel, n)
		p.Stream, p.Epoch, p.Seq = stream, epoch, uint64(len(m.all[stream-1])+1)
		m.all[stream-1] = append(m.all[stream-1], p)
		batch = append(batch, p)
	}
	m.mu.Unlock()
	m.hub.Publish(batch)
}

// forget leaves the newest n of each stream in memory.
func (m *model) forget(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, all := range m.all {
		if have := uint64(len(all)); have > n {
			m.low[i] = have - n
		}
	}
}

func (m *model) Resolve(q hub.Query, done func(hub.Start)) {
	if m.resolved != nil {
		done(m.resolved(q))
		return
	}
	at, _ := position.Parse(q.Position)
	var start hub.Start
	for _, channel := range q.Channels {
		s := position.Of(channel)
		mark := at.Get(s)
		if mark.Epoch == "" {
			mark = position.Mark{Epoch: epoch}
		}
		start.At = start.At.With(s, mark)
	}
	done(start)
	if m.behind != nil {
		m.behind()
	}
}

// read is batches of at most three publications.
func (m *model) read(s position.Stream, channels []string, after, until uint64) (batch []hub.Publication, next uint64) {
	for _, p := range m.all[s-1] {
		if p.Seq <= max(after, m.gone[s-1]) || p.Seq > until || !slices.Contains(channels, p.Channel) {
			continue
		}
		if len(batch) == 3 {
			return batch, batch[2].Seq
		}
		batch = append(batch, p)
	}
	return batch, until
}

func (m *model) Recent(s position.Stream, channels []string, after, until uint64, _ int) ([]hub.Publication, uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after < m.low[s-1] {
		return nil, 0, false
	}
	batch, next := m.read(s, channels, after, until)
	return batch, next, true
}

func (m *model) First(s position.Stream) position.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return position.Mark{Epoch: epoch, Seq: m.gone[s-1] + 1}
}

func (m *model) Older(ctx context.Context, s position.Stream, channels []string, after uint64, _ int, done func([]hub.Publication, uint64, error)) {
	read := func() {
		m.mu.Lock()
		m.deep++
		if m.fail > 0 {
			m.fail--
			m.mu.Unlock()
			done(nil, 0, errors.New("the stream does not answer"))
			return
		}
		batch, next := m.read(s, channels, after, m.low[s-1])
		m.mu.Unlock()
		done(batch, next, ctx.Err())
	}
	if m.prompt {
		read()
	} else {
		go read()
	}
}

// A reader is a client with positions: each frame is the payload, the length of
// the position and the position.
type reader struct {
	hub.Conn
	h       *hub.Hub
	mu      sync.Mutex // guards the following
	got     []uint64
	at      string
	marks   []uint64
	resets  []string
	epochs  []position.Mark
	started bool
	err     error
	slow    bool // nothing has gone out until drain
	waiting bool // Idle was false
	frames  int
}

func (r *reader) Deliver(b []byte, mark uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		panic("delivered before it was started")
	}
	r.frames++
	for len(b) > 0 {
		n := binary.BigEndian.Uint64(b)
		at := string(b[9 : 9+b[8]])
		b = b[9+len(at):]
		if n == ^uint64(0) {
			r.resets = append(r.resets, at)
		} else {
			r.got = append(r.got, n)
		}
		if at != "" {
			r.at = at
		}
	}
	if mark != 0 {
		r.marks = append(r.marks, mark)
	}
}

func (r *reader) Reset(m position.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs = append(r.epochs, m)
}

func (r *reader) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = r.slow
	return !r.slow
}

// drain lets what was written go out.
func (r *reader) drain() {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = false
	r.mu.Unlock()
	if waiting {
		r.h.Continue(&r.Conn)
	}
}

func (r *reader) received() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// encoding makes readers' frames, with the parts of the position that are read.
func encoding(h *hub.Hub, streams ...position.Stream) *hub.Encoding {
	frame := func(payload []byte, at position.Position) []byte {
		text := at.Only(streams...).String()
		return append(append(slices.Clone(payload), byte(len(text))), text...)
	}
	e := h.Encoding("reader", func(p *hub.Publication) []byte { return frame(p.Payload, p.At) })
	e.OnReset(func(now position.Position, _ hub.ResetReason) []byte {
		return frame(binary.BigEndian.AppendUint64(nil, ^uint64(0)), now)
	})
	return e
}

// resume attaches a reader of user 1 that comes back with a position.
func resume(h *hub.Hub, e *hub.Encoding, at string, slow bool, channels ...string) *reader {
	r := &reader{h: h, at: at, slow: slow}
	h.Attach(&r.Conn, r, e, "1")
	h.Resume(&r.Conn, hub.Query{User: "1", Channels: channels, Position: at, HasPosition: at != ""}, nil, func(s hub.Start) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.started, r.err = true, s.Err
	})
	return r
}

func bubble(t *testing.T, f func(t *testing.T, h *hub.Hub, m *model)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(2)
		defer h.Close()
		m := &model{hub: h}
		h.SetHistory(m)
		for _, s := range position.All() {
			h.Advance(s, position.Mark{Epoch: epoch})
		}
		f(t, h, m)
	})
}

func count(from, to uint64) (numbers []uint64) {
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}
