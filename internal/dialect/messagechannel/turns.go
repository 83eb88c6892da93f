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
	waiting []func()   // nil when nothing does
}

// do has f done: now, or by the goroutine that is at it.
func (t *turns) do(f func()) {
	t.mu.Lock()
	t.waiting = append(t.waiting, f)
	if t.taken {
		t.mu.Unlock()
		return
	}
	t.taken = true
	t.mu.Unlock()
	for t.one() {
	}
}

// one does the first that waits; false when none does. Where it panics the
// rest is done with the next that comes: the connection's end, above all.
func (t *turns) one() bool {
	t.mu.Lock()
	if len(t.waiting) == 0 {
		t.waiting, t.taken = nil, false
		t.mu.Unlock()
		return false
	}
	f := t.waiting[0]
	t.waiting = t.waiting[1:]
	t.mu.Unlock()
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
	return true
}
