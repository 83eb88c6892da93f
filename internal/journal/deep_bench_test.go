package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"belfry/internal/hub"
)

// 1,000,000 messages of 128 bytes over 100,000 users: 10 each. What a question
// and a deep read cost, after a start of the server and again.
func BenchmarkDeepReads(b *testing.B) {
	n := startFetchNATS(b)
	n.fill(1_000_000, 100_000, 128)
	d := n.deepReader()
	deepAsk(d, deepOf(ringAbove(10), 5, 1, 1))
	f := d.links[d.turn%deepConns].fetcher
	random := rand.New(rand.NewPCG(1, 1))
	timed := func(name string, ask func(user int) error) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := ask(random.IntN(100_000)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	ctx := context.Background()
	timed("leaderLast", func(user int) error {
		_, err := f.leaderLast(ctx, "S", fmt.Sprint("n.", user))
		return err
	})
	timed("directLast", func(user int) error {
		_, err := f.ask(ctx, "$JS.API.DIRECT.GET.S", getRequest{Last: fmt.Sprint("n.", user)}.bytes(), true)
		return err
	})
	timed("directNextBatch1of10", func(user int) error {
		_, err := f.ask(ctx, "$JS.API.DIRECT.GET.S", getRequest{Seq: 850_000, Next: fmt.Sprint("n.", user), Batch: 1}.bytes(), false)
		return err
	})
	timed("directNextSingle", func(user int) error {
		_, err := f.ask(ctx, "$JS.API.DIRECT.GET.S", getRequest{Seq: 850_000, Next: fmt.Sprint("n.", user)}.bytes(), true)
		return err
	})
	timed("tailPollNothing", func(int) error {
		_, _, err := f.after(ctx, "S", 1_000_000, 500)
		return err
	})
	timed("after500", func(user int) error {
		_, _, err := f.after(ctx, "S", uint64(user)*9, 500)
		return err
	})
	for _, missed := range []uint64{1, 5, 10} {
		r := ringAbove(1_000_000)
		timed(fmt.Sprint("older", missed), func(user int) error {
			batch, _, err := older(ctx, f, deepOf(r, 1_000_000-missed*100_000, 1<<20, user))
			if err == nil && len(batch) != int(missed) {
				return fmt.Errorf("%d found", len(batch))
			}
			return err
		})
	}
	b.Run("storm of 300 older5", func(b *testing.B) {
		r := ringAbove(1_000_000)
		for range b.N {
			began := time.Now()
			var all sync.WaitGroup
			var slowest time.Duration
			var mu sync.Mutex
			for range 300 {
				all.Add(1)
				d.read(ctx, deepOf(r, 500_000, 1<<20, random.IntN(100_000)), func(batch []hub.Publication, _ uint64, err error) {
					defer all.Done()
					if err != nil || len(batch) != 5 {
						b.Errorf("%d, %v", len(batch), err)
					}
					mu.Lock()
					defer mu.Unlock()
					slowest = max(slowest, time.Since(began))
				})
			}
			all.Wait()
			b.ReportMetric(slowest.Seconds(), "s/all")
		}
	})
}
