package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// PaceCollection sets, once a second until ctx ends, how far the heap may grow
// between two runs of Go's garbage collector, and gives memory back when a load
// is over. Both are settings of the whole process, so its main asks for it.
// Whoever sets GOGC has settled it already.
//
// Go's own rule, as much again as is in use, is made for heaps that turn over.
// Ours nearly all belongs to idle connections: it would come close to doubling
// what each of them costs, and under load, with few connections, run the collector
// many times a second.
func PaceCollection(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	p := newPacer()
	for {
		metrics.Read(sample)
		percent, release := p.step(time.Now(), sample[0].Value.Uint64(), sample[1].Value.Uint64())
		if percent != 0 {
			debug.SetGCPercent(percent)
		}
		if release {
			debug.FreeOSMemory()
			second.Reset(time.Second) // it may have taken as long, and a moment's rate says nothing
		}
		select {
		case <-second.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	// leastPercent bounds how often a quiet process collects.
	leastPercent = 10
	// roomOfStorm and roomOfLoad are how much garbage there may be where that is more
	// than is in use.
	roomOfStorm, roomOfLoad = 16 << 20, 128 << 20
	// marksOfLoad and marksOfStorm are half as many bytes as may be gone through
	// each second.
	marksOfLoad, marksOfStorm = 16 << 20, 48 << 20
	// sustainedFor is how many seconds in a row tell a load that stays from a storm
	// of connections.
	sustainedFor = 4
	// releaseEvery is how often memory is given back at most.
	releaseEvery = 5 * time.Second
)

// A pacer knows what was allocated in each of the last seconds.
type pacer struct {
	at        time.Time // of the last step
	allocated uint64    // up to then, in bytes
	rates     []uint64  // bytes a second, of the last sustainedFor steps; the newest comes last
	percent   int
	owed      bool // there was a load since memory was given back
	released  time.Time
}

func newPacer() *pacer { return &pacer{rates: make([]uint64, sustainedFor), percent: 100} }

// step takes in what has been allocated by now, since the process began, and what
// was in use after the last collection. It returns the percentage for
// debug.SetGCPercent, 0 for no other than before, and whether to give memory back.
func (p *pacer) step(now time.Time, allocated, live uint64) (percent int, release bool) {
	elapsed, made := now.Sub(p.at), allocated-p.allocated
	first := p.at.IsZero()
	p.at, p.allocated = now, allocated
	if first || elapsed <= 0 {
		return 0, false
	}
	rate := uint64(float64(made) / elapsed.Seconds())
	p.rates = append(p.rates[1:], rate)
	wanted := collectAt(rate, slices.Min(p.rates), live)
	if wanted > p.percent || wanted <= p.percent*3/4 {
		p.percent, percent = wanted, wanted
	}
	if wanted >= 2*leastPercent {
		p.owed = true
	}
	if p.owed && wanted == leastPercent && now.Sub(p.released) >= releaseAfter(live) {
		p.owed, p.released, release = false, now, true
	}
	return percent, release
}

// releaseAfter is how long after memory was given back it may be so again: that
// takes a collection, and loads that come and go are to cost no more of them than
// one that stays.
func releaseAfter(live uint64) time.Duration {
	return max(releaseEvery, time.Duration(float64(live)/marksOfLoad*float64(time.Second)))
}

// collectAt is the percentage, from the bytes allocated in the last second, the
// fewest that were in any of the last few seconds, and the bytes in use: as much
// garbage as is made in half a second, or, where much is in use, in as long as
// going through that may take. A storm of connections is over within seconds, and
// its garbage leaves holes between what stays of it: so there may be less, where
// little is in use, than under a load that stays.
func collectAt(rate, sustained, live uint64) int {
	live = max(live, 1<<20)
	storm := min(100*(rate/2)/min(live, marksOfStorm), max(100, 100*roomOfStorm/live))
	load := min(100*(sustained/2)/min(live, marksOfLoad), max(100, 100*roomOfLoad/live))
	return int(max(leastPercent, storm, load))
}
