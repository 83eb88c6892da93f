package ask

import (
	"sync"
	"time"
)

// Bounds of a memory: about 30 MiB when both are reached.
const (
	maxRemembered = 1 << 16
	maxWeight     = 8 << 20 // bytes of all that is remembered
)

// A Memory holds answers that a backend allows to be remembered (cache_for),
// each until its time is over. Beyond the bounds any of them is forgotten,
// which costs one question. The zero value is empty.
type Memory[K comparable, V any] struct {
	mu     sync.Mutex // guards the following
	known  map[K]*remembered[V]
	weight int
}

// remembered is one of as many as there are users: a map has free slots, so that
// what stands in them is no more than a pointer.
type remembered[V any] struct {
	value  V
	until  time.Duration // since started
	weight int32
}

// started is what times are remembered by. Steps of the clock don't move them.
var started = time.Now()

// Recall returns what is remembered of k.
func (m *Memory[K, V]) Recall(k K, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[k]
	switch {
	case r == nil:
		return v, false
	case now.Sub(started) >= r.until:
		m.forget(k)
		return v, false
	}
	return r.value, true
}

// Settle takes over the backend's newest word on k: v is remembered until then
// in place of what was, or nothing where that time is not after now. weight is
// about how many bytes it keeps alive.
func (m *Memory[K, V]) Settle(k K, v V, weight int, until, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(k)
	if !until.After(now) {
		return
	}
	m.makeRoom(weight, now)
	if m.known == nil {
		m.known = make(map[K]*remembered[V])
	}
	m.known[k] = &remembered[V]{v, until.Sub(started), int32(weight)}
	m.weight += weight
}

// makeRoom looks at two entries for each one that is added, so that what is
// over goes without a timer, and then forgets as many as the bounds ask for. A
// map's order is random enough to choose by.
func (m *Memory[K, V]) makeRoom(more int, now time.Time) {
	looked := 0
	for k, r := range m.known {
		full := len(m.known) >= maxRemembered || m.weight+more > maxWeight
		if looked++; looked > 2 && !full {
			return
		}
		if full || now.Sub(started) >= r.until {
			m.forget(k)
		}
	}
}

func (m *Memory[K, V]) forget(k K) {
	if r, ok := m.known[k]; ok {
		m.weight -= int(r.weight)
		delete(m.known, k)
	}
}
