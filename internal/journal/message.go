package journal

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/hub"
)

// A message is one message of a stream, as it was read.
type message struct {
	seq     uint64
	time    int64 // when it was stored, in ns since 1970
	expires int64 // when its own TTL ends, in ns since 1970; 0 where it has none
	subject string
	id      string // Nats-Msg-Id; "" where it has none
	marker  bool   // the server's note that others were removed: nothing was published
	data    []byte
}

// An entry is a message that is a publication: what a ring keeps.
type entry struct {
	seq     uint64
	time    int64 // as in message
	expires int64 // as in message
	channel string
	class   hub.Class
	payload []byte // never changed
}

const (
	headerTTL    = "Nats-TTL"
	headerMarker = "Nats-Marker-Reason"
)

// newMessage is a message with what its publisher's header says. Where a
// header stands more than once the server goes by the first, and so do we.
func newMessage(seq uint64, at int64, subject string, header nats.Header, data []byte) message {
	m := message{seq: seq, time: at, subject: subject, data: data, id: header.Get(nats.MsgIdHdr)}
	m.marker = header.Get(headerMarker) != "" && len(data) == 0 // a publisher can write the header too
	if ttl := parseTTL(header.Get(headerTTL)); ttl > 0 {
		m.expires = at + int64(ttl)
	}
	return m
}

// parseTTL reads a message's TTL as the server does: whole seconds, or a
// duration of which it drops what is below a second. 0 is for ever, and for
// what it would have refused.
func parseTTL(text string) time.Duration {
	if text == "" || strings.EqualFold(text, "never") {
		return 0
	}
	if d, err := time.ParseDuration(text); err == nil {
		return max(0, d.Truncate(time.Second))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > int64(maxTTL/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// maxTTL keeps a time plus a TTL within an int64, for centuries.
const maxTTL = 100 * 365 * 24 * time.Hour
