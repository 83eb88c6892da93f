package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// waiting is how many messages of the consumer may wait for the sequencer. The
// NATS client drops what comes beyond that; it is then read from the stream.
// So a gateway that can't keep up pulls, and needs no flow control of NATS's.
const waiting = 64 << 10

// A feed is the fast path: a push consumer of the stream's messages from the
// watermark on. It is only there for speed. When it is lost another one is
// made; the server removes the old one, which nobody listens to any more. Only
// the sequencer's goroutine uses it.
type feed struct {
	in     chan *nats.Msg
	number uint64 // of the consumer, counted
	sub    *nats.Subscription
	asked  bool      // it is being created
	up     bool      // it has been created
	life   time.Time // when it last showed life
}

// created says how creating a feed's consumer went.
type created struct {
	number uint64
	err    error
}

// consumerConfig is the part of the API's that matters here.
type consumerConfig struct {
	Name              string        `json:"name"`
	DeliverSubject    string        `json:"deliver_subject"`
	DeliverPolicy     string        `json:"deliver_policy"`
	OptStartSeq       uint64        `json:"opt_start_seq"`
	AckPolicy         string        `json:"ack_policy"`
	ReplayPolicy      string        `json:"replay_policy"`
	IdleHeartbeat     time.Duration `json:"idle_heartbeat"`
	InactiveThreshold time.Duration `json:"inactive_threshold"`
	MemoryStorage     bool          `json:"mem_storage"`
	Replicas          int           `json:"num_replicas"`
}

type createConsumer struct {
	Stream string         `json:"stream_name"`
	Config consumerConfig `json:"config"`
	Action string         `json:"action"`
}

// openFeed has a new consumer made in place of the one there is.
func (s *sequencer) openFeed() {
	s.closeFeed()
	s.feed.number++
	s.feed.asked = true
	number, inbox := s.feed.number, s.bus.Conn().NewInbox()
	sub, err := s.bus.Conn().ChanSubscribe(inbox, s.feed.in)
	if err != nil {
		s.feedCreated(created{number, fmt.Errorf("subscribe: %w", err)})
		return
	}
	s.feed.sub = sub
	name := "belfry-" + nuid.Next()
	ask, err := json.Marshal(createConsumer{s.name, consumerConfig{
		Name:              name,
		DeliverSubject:    inbox,
		DeliverPolicy:     "by_start_sequence",
		OptStartSeq:       s.at + 1,
		AckPolicy:         "none",
		ReplayPolicy:      "instant",
		IdleHeartbeat:     s.pace.beat,
		InactiveThreshold: 5 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	}, "create"})
	if err != nil {
		s.feedCreated(created{number, err})
		return
	}
	msg := &nats.Msg{Subject: s.api + "CONSUMER.CREATE." + s.name + "." + name, Data: ask}
	s.bus.Request(msg, s.pace.api, func(m *nats.Msg, err error) {
		if err == nil {
			err = apiError(m.Data)
		}
		select {
		case s.created <- created{number, err}:
		case <-s.ended:
		}
	})
}

func (s *sequencer) closeFeed() {
	if s.feed.sub != nil {
		_ = s.feed.sub.Unsubscribe() // fails only where the connection is closed
	}
	s.feed.sub, s.feed.up, s.feed.asked = nil, false, false
}

func (s *sequencer) feedCreated(c created) {
	if c.number != s.feed.number {
		return
	}
	s.feed.asked = false
	if c.err == nil {
		s.feed.up, s.feed.life = true, time.Now()
		s.quiet("consumer", nil)
		s.check()
		return
	}
	s.closeFeed()
	s.quiet("consumer", fmt.Errorf("create a consumer: %w", c.err))
	if errors.Is(c.err, errAPI) { // the stream may be gone, or be another one
		s.check()
	}
}

// feedLost is called where the consumer may have missed something.
func (s *sequencer) feedLost() {
	s.stats.consumers.Add(1)
	s.verified = false
	s.seam()
	s.openFeed()
	s.poll()
	s.check()
}

// errAPI is what JetStream answered with an error.
var errAPI = errors.New("JetStream")

func apiError(reply []byte) error {
	var r struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return fmt.Errorf("read JetStream's answer: %w", err)
	}
	if r.Error != nil {
		return fmt.Errorf("%w: %s (%d)", errAPI, r.Error.Description, r.Error.ErrCode)
	}
	return nil
}

// place reads where a consumer's message stands in the stream from its reply
// subject, $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
// or the longer form with a domain and an account before the stream.
func place(reply string) (seq uint64, at int64, ok bool) {
	rest, isAck := strings.CutPrefix(reply, "$JS.ACK.")
	if !isAck {
		return 0, 0, false
	}
	skip := 3
	if strings.Count(rest, ".") > 6 {
		skip = 5
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	text, rest, _ := strings.Cut(rest, ".")
	_, rest, _ = strings.Cut(rest, ".") // the consumer's own sequence
	stored, _, _ := strings.Cut(rest, ".")
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == 0 {
		return 0, 0, false
	}
	at, err = strconv.ParseInt(stored, 10, 64)
	return seq, at, err == nil
}
