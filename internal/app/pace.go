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
	percent, allocated := 100, uint64(0)
	var rates [sustainedFor]uint64
	var emptied time.Time
	for i := 0; ; i++ {
		metrics.Read(sample)
		now, live := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		rate := now - allocated
		rates[i%len(rates)] = rate
		wanted := collectAt(rate, slices.Min(rates[:]), live)
		over := wanted == leastPercent && percent > leastPercent
		if allocated != 0 && (wanted > percent || wanted <= percent*3/4 || over) { // setting it stops the world for some µs
			percent = wanted
			debug.SetGCPercent(percent)
			if over && time.Since(emptied) >= emptyEvery(live) {
				debug.FreeOSMemory()
				emptied = time.Now()
			}
		}
		allocated = now
		select {
		case <-second.C:
		case <-ctx.Done():
			return
		}
	}
}

// emptyEvery is how long after memory was given back it may be so again: that
// takes a collection, and loads that come and go are to cost no more of them than
// one that stays.
func emptyEvery(live uint64) time.Duration {
	return time.Duration(float64(live) / marksASecond * float64(time.Second))
}

const (
	// leastPercent bounds how often a quiet process collects.
	leastPercent = 10
	// mostRoom is how much garbage there may be where that is more than is in use.
	mostRoom = 16 << 20
	// marksASecond is half as many bytes as may be gone through each second.
	marksASecond = 16 << 20
	// sustainedFor is after how many seconds a load counts as one that stays.
	sustainedFor = 4
)

// collectAt is the percentage for debug.SetGCPercent, from the bytes allocated in
// the last second, the fewest that were in any of the last few seconds, and the
// bytes in use: as much garbage as is made in half a second, or, where much is in
// use, in as long as going through that may take. A storm of connections is over
// within seconds, and its garbage leaves holes between what stays of it: then
// there may be no more than is in use. A load that stays may make as much as in
// two seconds.
func collectAt(rate, sustained, live uint64) int {
	live = max(live, 1<<20)
	percent := 100 * (rate / 2) / min(live, marksASecond)
	return int(min(max(percent, leastPercent), max(100, 100*max(mostRoom, 2*sustained)/live)))
}
