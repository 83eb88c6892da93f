package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
)

// What a cursorStore's errors wrap beside those of bus.
var errCursorConflict = errors.New("somebody else has written it meanwhile")

const (
	cursorGetTimeout = 2 * time.Second
	cursorPutTimeout = 3 * time.Second

	// headerCursorWrite names a write, so that whoever got no answer to it can see
	// whether it was stored. Not Nats-Msg-Id: the server would remember each
	// for two minutes, and checks it only after the expected sequence.
	headerCursorWrite = "Belfry-Write"

	headerCursorOperation = "KV-Operation" // set where a key was deleted
	headerCursorExpected  = "Nats-Expected-Last-Subject-Sequence"

	codeCursorConflict         jetstream.ErrorCode = 10071
	codeCursorConflictConstant jetstream.ErrorCode = 10164
)

// A cursorStore reads and writes the bucket of delivered cursors. Every answer
// comes on a goroutine of the bus's; a question that waits owns no goroutine.
type cursorStore struct {
	request func(*nats.Msg, time.Duration, func(*nats.Msg, error)) func() bool
	stream  string // the bucket's
	subject string // of the keys, with the dot behind it
	puts    string // what stands before subject in a put, for another domain
	api     string
	// replicated is set where more than one server has the bucket: one that
	// was away answers before it has caught up.
	replicated atomic.Bool
}

// A storedCursor is what the bucket has under a key.
type storedCursor struct {
	record
	rev   uint64 // 0 where it has nothing
	write string // the name of the write, if it has one
	found bool   // false where there is no record, or none that can be read
	bad   error  // why it can't be read
}

func newCursorStore(b *bus.Bus, domain string) *cursorStore {
	bucket := b.Names().Cursors()
	s := &cursorStore{
		request: b.Request,
		stream:  "KV_" + bucket,
		subject: "$KV." + bucket + ".",
		api:     apiPrefix(domain),
	}
	if domain != "" {
		s.puts = s.api
	}
	return s
}

// get reads what is stored under a key. Of several servers that have the bucket
// only the leader is asked: another one may be behind, and a user whose cursor is
// an old one would get again what came since.
func (s *cursorStore) get(key string, done func(storedCursor, error)) {
	if s.replicated.Load() {
		s.getFromLeader(key, done)
		return
	}
	ask := nats.NewMsg(s.api + "DIRECT.GET." + s.stream + "." + s.subject + key)
	s.request(ask, cursorGetTimeout, func(m *nats.Msg, err error) {
		switch {
		case err != nil:
			done(storedCursor{}, fmt.Errorf("read delivered cursor %s: %w", key, err))
		case isStored(m):
			done(readCursor(last(m.Header, headerSequence), m.Header, m.Data))
		case m.Header.Get(headerStatus) == "404":
			done(storedCursor{}, nil)
		default:
			done(storedCursor{}, fmt.Errorf("read delivered cursor %s: NATS answers %q", key, m.Header.Get(headerStatus)))
		}
	})
}

// getFromLeader is get from the one server that is never behind. It costs three
// to five times as much (10,000 of them: 0.5 s and 0.2 s), and has no answer
// while a leader is being elected.
func (s *cursorStore) getFromLeader(key string, done func(storedCursor, error)) {
	ask := nats.NewMsg(s.api + "STREAM.MSG.GET." + s.stream)
	ask.Data = getRequest{Last: s.subject + key}.bytes()
	s.request(ask, cursorGetTimeout, func(m *nats.Msg, err error) {
		var answer struct {
			Error   *jetstream.APIError `json:"error"`
			Message struct {
				Seq    uint64 `json:"seq"`
				Header []byte `json:"hdrs"`
				Data   []byte `json:"data"`
			} `json:"message"`
		}
		if err == nil {
			err = json.Unmarshal(m.Data, &answer)
		}
		if err == nil && answer.Error != nil {
			if answer.Error.ErrorCode == codeNoMessage {
				done(storedCursor{}, nil)
				return
			}
			err = answer.Error
		}
		var header nats.Header
		if got := answer.Message; err == nil && len(got.Header) > 0 {
			header, err = nats.DecodeHeadersMsg(got.Header)
		}
		if err != nil {
			done(storedCursor{}, fmt.Errorf("ask the leader for delivered cursor %s: %w", key, err))
			return
		}
		done(readCursor(strconv.FormatUint(answer.Message.Seq, 10), header, answer.Message.Data))
	})
}

func readCursor(seq string, header nats.Header, data []byte) (got storedCursor, err error) {
	if got.rev, err = strconv.ParseUint(seq, 10, 64); err != nil {
		return storedCursor{}, fmt.Errorf("revision of a delivered cursor: %w", err)
	}
	got.write = last(header, headerCursorWrite)
	if len(data) == 0 || last(header, headerCursorOperation) != "" {
		return got, nil // deleted by hand
	}
	got.record, got.bad = decodeRecord(data)
	got.found = got.bad == nil
	return got, nil
}

// put writes a record if the bucket still has rev under the key. errCursorConflict
// says that it has not; with any other error it may have been stored or not.
// write is its name, or "".
func (s *cursorStore) put(key string, r record, rev uint64, write string, done func(rev uint64, err error)) {
	msg := nats.NewMsg(s.puts + s.subject + key)
	msg.Header[headerCursorExpected] = []string{strconv.FormatUint(rev, 10)}
	if write != "" {
		msg.Header[headerCursorWrite] = []string{write}
	}
	msg.Data = r.encode()
	s.request(msg, cursorPutTimeout, func(m *nats.Msg, err error) {
		var ack struct {
			Seq   uint64              `json:"seq"`
			Error *jetstream.APIError `json:"error"`
		}
		if err == nil {
			err = json.Unmarshal(m.Data, &ack)
		}
		switch {
		case err != nil:
		case ack.Error == nil && ack.Seq == 0:
			err = errors.New("NATS acknowledged no sequence")
		case ack.Error == nil:
			done(ack.Seq, nil)
			return
		case ack.Error.ErrorCode == codeCursorConflict, ack.Error.ErrorCode == codeCursorConflictConstant:
			err = errCursorConflict
		default:
			err = ack.Error
		}
		done(0, fmt.Errorf("write delivered cursor %s: %w", key, err))
	})
}
