package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A key is what a token is remembered by: its hash, so that a token is nowhere
// in memory for longer than it is asked about.
type key [sha256.Size]byte

// Bounds of the memory: about 25 MiB when both are reached.
const (
	maxRemembered = 1 << 16
	maxReplies    = 8 << 20 // bytes of all remembered replies
)

// A memory holds the identities that a backend allows to be remembered
// (cache_for), each until its time is over. Beyond the bounds any of them is
// forgotten, which costs one question. The zero value is empty.
type memory struct {
	mu    sync.Mutex // guards the following
	known map[key]remembered
	bytes int // of all replies
}

type remembered struct {
	result Result
	until  time.Time
}

// recall returns what is remembered of a token.
func (m *memory) recall(k key, now time.Time) (Result, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.known[k]
	if ok && !now.Before(r.until) {
		m.forget(k)
		return Result{}, false
	}
	return r.result, ok
}

// settle takes over the backend's newest word on a token: what it said is
// remembered for that long, and never longer than the identity lasts. A
// refusal, or 0, takes back what was remembered.
func (m *memory) settle(k key, result Result, long time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(k)
	if result.Outcome != Accepted || long <= 0 {
		return
	}
	until := now.Add(long)
	if end := result.Identity.ExpiresAt; !end.IsZero() && end.Before(until) {
		until = end
	}
	m.makeRoom(len(result.Reply), now)
	if m.known == nil {
		m.known = make(map[key]remembered)
	}
	m.known[k] = remembered{result, until}
	m.bytes += len(result.Reply)
}

// makeRoom looks at two entries for each one that is added, so that what is
// over goes without a timer, and then forgets as many as the bounds ask for. A
// map's order is random enough to choose by.
func (m *memory) makeRoom(more int, now time.Time) {
	looked := 0
	for k, r := range m.known {
		full := len(m.known) >= maxRemembered || m.bytes+more > maxReplies
		if looked++; looked > 2 && !full {
			return
		}
		if full || !now.Before(r.until) {
			m.forget(k)
		}
	}
}

func (m *memory) forget(k key) {
	if r, ok := m.known[k]; ok {
		m.bytes -= len(r.result.Reply)
		delete(m.known, k)
	}
}
