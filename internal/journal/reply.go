package journal

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// The headers of a direct get's replies. The server writes its own behind what
// the publisher wrote, under the same names if he likes: the last one counts.
const (
	headerSequence     = "Nats-Sequence"
	headerSubject      = "Nats-Subject"
	headerTimeStamp    = "Nats-Time-Stamp"
	headerLastSequence = "Nats-Last-Sequence"
	headerNumPending   = "Nats-Num-Pending"
	headerStatus       = "Status" // the client library's, of the first line
	headerDescription  = "Description"
)

// last is the last value of a header, "" where it has none.
func last(h nats.Header, key string) string {
	values := h[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// isStored tells a message of the stream from what the server says of itself.
// It does not go by the status: a publisher can write a header of that name.
func isStored(m *nats.Msg) bool { return len(m.Header[headerSequence]) > 0 }

// headerSlack is how far a header's size may be from what it was read as, as most
// write a space behind the colon, and headerLines how many lines it may have, of
// which each may be ended by a byte less. The server's own lines, which may not be
// hidden, have more bytes than both together.
const (
	headerSlack = 40
	headerLines = 40
)

// readable tells whether the client library has read the whole of a reply's header.
// NATS stores whatever a publisher writes: a line without a colon leaves no header
// at all, and an empty one hides all that follows it, the server's own lines too,
// behind which a publisher could write others. Such a message is read in another
// way (leader).
func readable(m *nats.Msg) bool {
	size := m.Size() - len(m.Subject) - len(m.Reply) - len(m.Data)
	if size == 0 {
		return true
	}
	read, lines := len("NATS/1.0\r\n\r\n"), 0
	for key, values := range m.Header {
		lines += len(values)
		for _, v := range values {
			read += len(key) + len(":") + len(v) + len("\r\n")
		}
	}
	inline := read - len(headerStatus+":\r\n") + len(" ")
	if d := m.Header.Get(headerDescription); d != "" {
		inline += len(" ") - len(headerDescription+":\r\n")
	}
	fits := func(read int) bool { return read <= size && size <= read+headerSlack }
	return m.Header != nil && lines <= headerLines && (fits(read) || m.Header.Get(headerStatus) != "" && fits(inline))
}

// readBatch turns the replies to a batch into messages, as far as they are
// without a gap: each names the one before it, so that one that was lost on
// its way is not taken for a hole. more says that asking on may bring more. The
// error is errUnreadable where the first can't be read so.
func readBatch(replies []*nats.Msg) (msgs []message, more bool, err error) {
	var before uint64
	for _, m := range replies {
		if !readable(m) {
			if len(msgs) == 0 {
				return nil, true, errUnreadable
			}
			return msgs, true, nil
		}
		if !isStored(m) {
			return endBatch(msgs, m, before)
		}
		previous, err := strconv.ParseUint(last(m.Header, headerLastSequence), 10, 64)
		if err != nil {
			return nil, false, fmt.Errorf("reply without %s: is NATS older than 2.11?", headerLastSequence)
		}
		if previous != before {
			return msgs, true, nil
		}
		got, err := readStored(m)
		if err != nil {
			return nil, false, err
		}
		msgs = append(msgs, got)
		before = got.seq
	}
	return msgs, true, nil
}

// endBatch reads the reply behind the last message.
func endBatch(msgs []message, m *nats.Msg, before uint64) (_ []message, more bool, err error) {
	switch status := m.Header.Get(headerStatus); status {
	case "204":
		if last(m.Header, headerLastSequence) != strconv.FormatUint(before, 10) {
			return msgs, true, nil
		}
		return msgs, last(m.Header, headerNumPending) != "0", nil
	case "404":
		return msgs, false, nil
	case "503":
		return nil, false, fmt.Errorf("%w: nobody answers for the stream: it does not exist, allow_direct is off, or it has no leader", bus.ErrUnavailable)
	default:
		return nil, false, fmt.Errorf("NATS answers %q (%s)", status, m.Header.Get(headerDescription))
	}
}

// readStored reads one message of the stream.
func readStored(m *nats.Msg) (message, error) {
	seq, err := strconv.ParseUint(last(m.Header, headerSequence), 10, 64)
	if err != nil {
		return message{}, fmt.Errorf("sequence of a message: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, last(m.Header, headerTimeStamp))
	if err != nil {
		return message{}, fmt.Errorf("time stamp of message %d: %w", seq, err)
	}
	return newMessage(seq, at.UnixNano(), last(m.Header, headerSubject), m.Header, m.Data), nil
}
