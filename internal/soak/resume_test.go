//go:build soak

package soak

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestResumeStorm has 10,000 clients come back at once who missed 10
// publications each, all of which are in memory.
func TestResumeStorm(t *testing.T) {
	const clients, missed = 10_000, 10
	g := start(t)
	_, since, err := g.events(t.Context(), 0, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	g.publish(clients*missed, func(i int) int { return i % clients })
	g.read(clients * missed)

	cpu, begin := g.cpu(), time.Now()
	var mu sync.Mutex
	took := make([]time.Duration, 0, clients)
	each(clients, clients, func(i int) {
		got, _, err := g.events(t.Context(), i, since, missed)
		if err != nil || !inOrder(got, i, clients) {
			t.Errorf("client %d: %v, %d publications: %.200q", i, err, len(got), got)
		}
		mu.Lock()
		took = append(took, time.Since(begin))
		mu.Unlock()
	})
	t.Logf("%d clients, %d missed each: all caught up after %.2f s (p50 %.0f ms, p99 %.0f ms); gateway and NATS %.0f µs CPU a client; %v from memory, %v from the stream",
		clients, missed, time.Since(begin).Seconds(), percentile(took, 50), percentile(took, 99),
		float64((g.cpu()-cpu).Microseconds())/clients,
		g.metric(`belfry_replayed_publications_total{from="ring"}`), g.metric(`belfry_replayed_publications_total{from="stream"}`))
	if time.Since(begin) > 15*time.Second {
		t.Errorf("it took %s", time.Since(begin))
	}
}

// inOrder tells whether client i got exactly its publications.
func inOrder(got []string, i, step int) bool {
	for n, text := range got {
		if want := fmt.Sprintf(`{"n":%d,"user":%d,`, i+n*step, i); len(text) < len(want) || text[:len(want)] != want {
			return false
		}
	}
	return true
}

// TestReplayOutOfAMillion has clients come back one by one who missed 100 out of
// 1,000,000 stored publications of 100,000 users, most of which have to be read
// from the stream.
func TestReplayOutOfAMillion(t *testing.T) {
	const stored, users, heavy, missed = 1_000_000, 100_000, 50, 100
	g := start(t)
	_, since, err := g.events(t.Context(), 0, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	const every = stored / (heavy * missed) // each of the first 50 users' publications
	begin := time.Now()
	g.publish(stored, func(i int) int {
		if i%every == 0 {
			return i / every % heavy
		}
		return heavy + i%(users-heavy)
	})
	t.Logf("stored %d in %s", stored, time.Since(begin).Round(time.Millisecond))
	g.read(stored)

	var took []time.Duration
	for user := range heavy {
		begin := time.Now()
		got, _, err := g.events(t.Context(), user, since, missed)
		took = append(took, time.Since(begin))
		if err != nil || len(got) != missed {
			t.Fatalf("user %d: %v, %d publications", user, err, len(got))
		}
	}
	t.Logf("%d missed out of %d stored, over all of it: p50 %.1f ms, p99 %.1f ms; %v from memory, %v from the stream", missed, stored,
		percentile(took, 50), percentile(took, 99),
		g.metric(`belfry_replayed_publications_total{from="ring"}`), g.metric(`belfry_replayed_publications_total{from="stream"}`))
}
