package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// PaceCollection sets, once a second until ctx ends, how far the heap may grow
// between two runs of Go's garbage collector. It is a setting of the whole
// process, so its main asks for it. Whoever sets GOGC has settled it already.
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
	percent, allocated := 100, uint64(0)
	for {
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		wanted := collectAt(now-allocated, sample[1].Value.Uint64())
		if allocated != 0 && (wanted > percent || wanted <= percent*3/4) { // setting it stops the world for some µs
			percent = wanted
			debug.SetGCPercent(percent)
		}
		allocated = now
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
	// mostRoom is how much garbage there may be where that is more than is in use.
	mostRoom = 16 << 20
	// marksASecond is how many bytes in use may be gone through each second: some
	// 5 % of a core.
	marksASecond = 48 << 20
)

// collectAt is the percentage for debug.SetGCPercent, from the bytes allocated in
// the last second and the bytes in use: as much garbage as is made in half a
// second, or, where much is in use, in as long as going through that takes a 20th
// of.
func collectAt(rate, live uint64) int {
	live = max(live, 1<<20)
	percent := 100 * (rate / 2) / min(live, marksASecond)
	return int(min(max(percent, leastPercent), max(100, 100*mostRoom/live)))
}
