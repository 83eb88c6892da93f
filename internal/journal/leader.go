package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
)

// codeNoMessage is the server's error code for a message that it does not have.
const codeNoMessage jetstream.ErrorCode = 10037

// leaderAfter is the leader's first message above seq, errGone if it has none.
func (f *fetcher) leaderAfter(ctx context.Context, stream string, seq uint64) (message, error) {
	return f.leaderNext(ctx, stream, ">", seq)
}

// leaderGet is the leader's message of that sequence, errGone if it was
// deleted, has expired or is still to come.
func (f *fetcher) leaderGet(ctx context.Context, stream string, seq uint64) (message, error) {
	return f.leader(ctx, stream, getRequest{Seq: seq})
}

// leaderLast is the leader's newest message on a subject, errGone if it has
// none.
func (f *fetcher) leaderLast(ctx context.Context, stream, subject string) (message, error) {
	return f.leader(ctx, stream, getRequest{Last: subject})
}

// leaderNext is the leader's first message above seq on a subject, errGone if it
// has none.
func (f *fetcher) leaderNext(ctx context.Context, stream, subject string, seq uint64) (message, error) {
	return f.leader(ctx, stream, getRequest{Seq: seq + 1, Next: subject})
}

func (f *fetcher) leader(ctx context.Context, stream string, r getRequest) (message, error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := f.question(ctx, "STREAM.MSG.GET."+stream, r.bytes(), &answer); err != nil {
		return message{}, fmt.Errorf("ask the leader of stream %s for a message: %w", stream, err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == codeNoMessage {
			return message{}, errGone
		}
		return message{}, fmt.Errorf("ask the leader of stream %s for a message: %w", stream, answer.Error)
	}
	var header nats.Header
	if m := answer.Message; len(m.Header) > 0 {
		header, _ = nats.DecodeHeadersMsg(m.Header) // one that can't be read is none, as a consumer has it
	}
	m := answer.Message
	return newMessage(m.Seq, m.Time.UnixNano(), m.Subject, header, m.Data), nil
}

// state is what the stream's leader says of it: first is the first sequence
// that it still has, last the last one given (0 before the first), whether it
// still has it or not. errors.Is(err, jetstream.ErrStreamNotFound) says that
// there is none.
func (f *fetcher) state(ctx context.Context, stream string) (first, last uint64, created time.Time, meta map[string]string, err error) {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.StreamInfo
	}
	err = f.question(ctx, "STREAM.INFO."+stream, nil, &answer)
	if err == nil && answer.Error != nil {
		err = answer.Error
	}
	if err != nil {
		return 0, 0, time.Time{}, nil, fmt.Errorf("ask for the state of stream %s: %w", stream, err)
	}
	f.date.heed(answer.TimeStamp)
	return answer.State.FirstSeq, answer.State.LastSeq, answer.Created, answer.Config.Metadata, nil
}

// question asks the JetStream API until it answers.
func (f *fetcher) question(ctx context.Context, what string, data []byte, answer any) error {
	for {
		replies, err := f.ask(ctx, f.api+what, data, true)
		if err != nil {
			return err
		}
		if len(replies) == 0 {
			continue
		}
		m := replies[0]
		if len(m.Data) == 0 && m.Header.Get(headerStatus) == "503" {
			return fmt.Errorf("%w: nobody answers %s: no JetStream for this account", bus.ErrUnavailable, what)
		}
		if err := json.Unmarshal(m.Data, answer); err != nil {
			return fmt.Errorf("answer of %s: %w", what, err)
		}
		return nil
	}
}
