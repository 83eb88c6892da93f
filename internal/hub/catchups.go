package hub

import (
	"sync"
	"sync/atomic"
)

type counter = atomic.Uint64

// catchupWorkers is how many take turns at once: the work is encoding and
// writing, so more than a few are of no use.
const catchupWorkers = 2

// catchups is the line in which catchups wait for their turns. A turn is short
// and each has the same, so that a client who missed much holds nobody up.
type catchups struct {
	open       atomic.Int64 // that have not ended
	fromRing   counter      // publications replayed from memory
	fromStream counter      // and from the stream

	mu      sync.Mutex // guards the following
	more    sync.Cond  // of mu: the line is not empty, or stop
	line    []*catchup
	stop    bool
	workers sync.WaitGroup
}

func startCatchups() *catchups {
	l := &catchups{}
	l.more.L = &l.mu
	for range catchupWorkers {
		l.workers.Go(l.work)
	}
	return l
}

func (l *catchups) push(k *catchup) {
	l.mu.Lock()
	l.line = append(l.line, k)
	l.mu.Unlock()
	l.more.Signal()
}

func (l *catchups) work() {
	for {
		l.mu.Lock()
		for len(l.line) == 0 && !l.stop {
			l.more.Wait()
		}
		if l.stop {
			l.mu.Unlock()
			return
		}
		k := l.line[0]
		l.line[0] = nil
		l.line = l.line[1:]
		l.mu.Unlock()
		k.turn()
	}
}

func (l *catchups) close() {
	l.mu.Lock()
	l.stop = true
	l.mu.Unlock()
	l.more.Broadcast()
	l.workers.Wait()
}
