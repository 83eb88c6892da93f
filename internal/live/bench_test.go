package live

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
	"belfry/internal/subject"
)

type nowhere struct{}

func (nowhere) Publish([]hub.Publication) {}

// BenchmarkPass is the feed's own cost of a message, NATS and hub apart.
func BenchmarkPass(b *testing.B) {
	for _, kind := range []string{"notification.%d", "notification_%d", "live.tick.eur:%d"} {
		b.Run(strings.TrimSuffix(kind, "%d"), func(b *testing.B) {
			f := newFeed(nil, subject.Default(""), nowhere{}, quiet(), waiting)
			payload := fmt.Appendf(nil, `{"user_id":"1","data":"%0100d"}`, 1)
			messages := make([]*nats.Msg, maxBatch)
			for i := range messages {
				messages[i] = &nats.Msg{Subject: fmt.Sprintf(kind, i), Data: payload}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += maxBatch {
				for _, m := range messages[1:] {
					f.in <- m
				}
				f.pass(messages[0])
			}
		})
	}
}
