package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// A following is a Follow that keeps what it is told.
type following struct {
	w    *world
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards the following
	got     []string
	at      position.Position // of the last one
	started bool
	resets  []hub.ResetReason
	trouble int
	end     position.Position
	err     error
}

func (w *world) follow(f Follow) *following {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &following{w: w, stop: stop, done: make(chan struct{})}
	note := func(do func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		do()
	}
	f.Started = func(at position.Position) { note(func() { r.started, r.at = true, at }) }
	f.Publication = func(at position.Position, payload []byte) {
		note(func() { r.got, r.at = append(r.got, string(payload)), at })
	}
	f.Reset = func(_ position.Position, why hub.ResetReason) { note(func() { r.resets = append(r.resets, why) }) }
	f.Trouble = func(error) { note(func() { r.trouble++ }) }
	b := w.bus()
	go func() {
		defer close(r.done)
		end, err := f.Run(ctx, b, "")
		note(func() { r.end, r.err = end, err })
	}()
	w.t.Cleanup(func() { stop(); <-r.done })
	return r
}

func (r *following) begun() *following {
	r.w.t.Helper()
	r.w.eventually("following has begun", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.started
	})
	return r
}

// wants waits for all that came since the beginning.
func (r *following) wants(texts ...string) {
	r.w.t.Helper()
	r.w.eventually(fmt.Sprintf("%q", texts), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) >= len(texts)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	expectTexts(r.w.t, "followed", r.got, texts)
}

func (r *following) told(want ...hub.ResetReason) {
	r.w.t.Helper()
	r.w.eventually(fmt.Sprintf("resets %q", want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Equal(r.resets, want)
	})
}

func TestFollow(t *testing.T) {
	w := newWorld(t)
	first := w.publish("#1", "old")
	w.publish("#2", "another's")
	for i := range 250 { // more than a page
		w.publish("#1", fmt.Sprint(i))
	}
	w.publish("other", "of the other stream")

	now := w.follow(Follow{Channel: "#1"}).begun()
	all := w.follow(Follow{Channel: "#1", All: true}).begun()
	since := w.follow(Follow{Channel: "#1", Since: first.Position}).begun()
	other := w.follow(Follow{Channel: "other", All: true})
	var numbers []string
	for i := range 250 {
		numbers = append(numbers, fmt.Sprint(i))
	}
	all.wants(append([]string{"old"}, numbers...)...)
	since.wants(numbers...)
	other.wants("of the other stream")
	w.publish("#2", "another's")
	last := w.publish("#1", "new")
	now.wants("new")
	all.wants(append(append([]string{"old"}, numbers...), "new")...)

	if now.at != last.Position {
		t.Errorf("the last one's position is %v, want %v", now.at, last.Position)
	}
	now.stop()
	<-now.done
	if now.err != nil || now.end.Get(position.Notifications).Seq < last.Seq {
		t.Errorf("ended at %v, %v", now.end, now.err)
	}
	w.publish("#1", "newer")
	w.follow(Follow{Channel: "#1", Since: now.end}).wants("newer")
}

func TestFollowThroughARestart(t *testing.T) {
	w := newWorld(t)
	f := w.follow(Follow{Channel: "c"}).begun()
	w.publish("c", "1")
	f.wants("1")
	w.down()
	w.up()
	w.publish("c", "2")
	f.wants("1", "2")
	f.told()
}

func TestFollowIsReset(t *testing.T) {
	w := newWorld(t)
	old := w.publish("c", "1")
	f := w.follow(Follow{Channel: "c"}).begun()
	if _, err := Rotate(w.ctx(), w.backend, w.backend.Names().Channels()); err != nil {
		t.Fatal(err)
	}
	f.told(hub.ResetEpoch)
	f.wants("1")
	w.publish("c", "2")
	f.wants("1", "2")

	again := w.follow(Follow{Channel: "c", Since: old.Position})
	again.told(hub.ResetEpoch)
	again.wants("1", "2")

	m := f.at.Get(position.Channels)
	m.Seq += 100
	w.follow(Follow{Channel: "c", Since: position.Position{}.With(position.Channels, m)}).told(hub.ResetAhead)

	stream, err := w.backend.JetStream().Stream(w.ctx(), w.backend.Names().Channels())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(w.ctx()); err != nil {
		t.Fatal(err)
	}
	w.publish("c", "3")
	m.Seq = 1
	w.follow(Follow{Channel: "c", Since: position.Position{}.With(position.Channels, m)}).told(hub.ResetExpired)
}

func TestFollowWhereThereIsNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := (Follow{Channel: "#"}).Run(w.ctx(), w.backend, ""); !errors.Is(err, ErrChannel) {
		t.Errorf("no channel: %v", err)
	}
	w.o.NATS.Prefix = "nobodys"
	if _, err := (Follow{Channel: "c"}).Run(w.ctx(), w.bus(), ""); err == nil || !strings.Contains(err.Error(), "prefix") {
		t.Errorf("no stream: %v", err)
	}
}
