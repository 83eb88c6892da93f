package messagechannel

import "sync"

// turns has things done one at a time and in the order in which they came,
// without a goroutine and without a lock around them: whoever comes while
// something is being done leaves his own with the one who is at it.
//
// So what is done may call the hub, the authenticator and the transport, and
// they may call back at once, on any goroutine, and nothing deadlocks.
type turns struct {
	mu      sync.Mutex // guards the following; a leaf, nothing is called under it
	taken   bool       // somebody is at it
	waiting *[]func()  // nil when nothing does, which is nearly always
}

// do has f done: now, or by the goroutine that is at it.
func (t *turns) do(f func()) {
	t.mu.Lock()
	if t.taken || t.waiting != nil {
		if t.waiting == nil {
			t.waiting = new([]func())
		}
		*t.waiting = append(*t.waiting, f)
		f = nil
	}
	if t.taken {
		t.mu.Unlock()
		return
	}
	t.taken = true
	t.mu.Unlock()
	if f != nil {
		t.one(f)
	}
	for f := t.next(); f != nil; f = t.next() {
		t.one(f)
	}
}

// next takes the first that waits. When none does the turn is over, and nil.
func (t *turns) next() (f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.taken = false
		return nil
	}
	f, *t.waiting = (*t.waiting)[0], (*t.waiting)[1:]
	if len(*t.waiting) == 0 {
		t.waiting = nil
	}
	return f
}

// one does f. Where it panics the rest is done with the next that comes: the
// connection's end, above all.
func (t *turns) one(f func()) {
	whole := false
	defer func() {
		if !whole {
			t.mu.Lock()
			t.taken = false
			t.mu.Unlock()
		}
	}()
	f()
	whole = true
}
