package ops

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"sync"
)

// A recorded profile is one that Go keeps only while it is told to, which costs
// something: it would be empty otherwise, and look as if nothing waited. So it
// is recorded for as long as somebody asks for it.
type recorded struct {
	name   string
	record func(on bool)

	mu      sync.Mutex // guards the following, and calls of record
	readers int
}

var (
	// blocked samples what goroutines waited for: about one wait for each 10 µs
	// waited.
	blocked = &recorded{name: "block", record: func(on bool) { runtime.SetBlockProfileRate(choose(on, 10_000)) }}
	// contended samples one of ten waits for a lock.
	contended = &recorded{name: "mutex", record: func(on bool) { runtime.SetMutexProfileFraction(choose(on, 10)) }}
)

func choose(on bool, rate int) int {
	if on {
		return rate
	}
	return 0
}

// longest is how many seconds may be recorded at once.
const longest = 300

// serve answers ?seconds=N with what was recorded in these, as net/http/pprof
// does for other profiles.
func (p *recorded) serve(w http.ResponseWriter, r *http.Request) {
	if s, err := strconv.Atoi(r.FormValue("seconds")); err != nil || s < 1 || s > longest {
		http.Error(w, "say for how long: this profile is recorded only while it is asked for, with ?seconds=10 for example, and 300 at most", http.StatusBadRequest)
		return
	}
	p.add(1)
	defer p.add(-1)
	pprof.Handler(p.name).ServeHTTP(w, r)
}

func (p *recorded) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.readers > 0
	p.readers += n
	if now := p.readers > 0; now != before {
		p.record(now)
	}
}
