package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/position"
	"belfry/internal/subject"
	"belfry/internal/verify/judge"
)

const (
	// ackWithin is how long one try waits for its acknowledgement, and retryAfter
	// how long until the next. A stream knows a message id for two minutes, and
	// after giveUp it may be another message.
	ackWithin  = 500 * time.Millisecond
	retryAfter = 50 * time.Millisecond
	giveUp     = 100 * time.Second
	publishers = 16

	// One publication of lasting has a TTL, which ends some while after the run: a
	// gateway that goes by a clock that is wrong takes it for expired.
	lasting = 4
	after   = 5 * time.Minute
)

// A press publishes, in so many goroutines, each waiting for each
// acknowledgement.
type press struct {
	rec   *record
	nc    *nats.Conn
	names subject.Names
	pick  func(*rand.Rand) string // a channel
	rate  float64
	name  string
	ttl   time.Duration // of some of them; 0 for none
	n     atomic.Int64

	// still is held by who changes a stream's history, and read-held from before
	// a publication until it is acknowledged.
	still sync.RWMutex
}

// run publishes until ctx ends, and returns when all is acknowledged, or given
// up.
func (p *press) run(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	for i := range publishers {
		rng := rand.New(rand.NewPCG(seed, uint64(i)+1000))
		all.Go(func() {
			every := time.Duration(float64(time.Second) * publishers / p.rate)
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					p.publish(p.pick(rng))
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

func (p *press) publish(channel string) {
	p.still.RLock()
	defer p.still.RUnlock()
	n := p.n.Add(1)
	id := fmt.Sprintf("%s.%d", p.name, n)
	pub := &judge.Publication{ID: id, Channel: channel, Sent: p.rec.now()}
	p.rec.published(pub)
	to, err := subjectOf(p.names, channel)
	if err != nil {
		panic(err) // channels are named by us
	}
	msg := &nats.Msg{Subject: to, Data: payload(id), Header: nats.Header{nats.MsgIdHdr: {to + ":" + id}}}
	if p.ttl > 0 && n%lasting == 0 {
		msg.Header.Set("Nats-TTL", p.ttl.Round(time.Second).String())
	}
	for tries := 1; ; tries++ {
		seq, err := p.try(msg)
		if err == nil {
			p.rec.acknowledged(pub, seq, p.rec.era(position.Of(channel)), tries)
			return
		}
		if p.rec.now()-pub.Sent > giveUp {
			p.rec.count("publications given up")
			return
		}
		p.rec.count("publishing tried again")
		time.Sleep(retryAfter)
	}
}

func (p *press) try(msg *nats.Msg) (uint64, error) {
	reply, err := p.nc.RequestMsg(msg, ackWithin)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Stream string          `json:"stream"`
		Seq    uint64          `json:"seq"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, err
	}
	if ack.Error != nil || ack.Seq == 0 {
		return 0, errors.New(string(reply.Data))
	}
	return ack.Seq, nil
}

func subjectOf(names subject.Names, channel string) (string, error) {
	if position.Of(channel) == position.Notifications {
		return names.User(channel[1:])
	}
	return names.Channel(channel)
}
