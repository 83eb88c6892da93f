package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Snapshot writes a copy of a stream, by its name in NATS, to w: its settings
// and its messages, without consumers. The stream stays in use; what is stored
// behind Head.State.Last is not in the copy. domain is JetStream's, mostly "".
//
// An error means that what was written is worth nothing. ErrNoStream is one.
//
// The server sends chunks, each to be acknowledged, and behind them an empty
// message; a chunk's reply subject ends in its number, so that a lost one is
// noticed.
func Snapshot(ctx context.Context, nc *nats.Conn, domain, stream string, w io.Writer) (Head, error) {
	head, err := snapshot(ctx, nc, domain, stream, w)
	if err != nil {
		return head, fmt.Errorf("copy stream %s: %w", stream, err)
	}
	return head, nil
}

func snapshot(ctx context.Context, nc *nats.Conn, domain, stream string, w io.Writer) (Head, error) {
	size := min(chunkBytes, int(nc.MaxPayload()))
	chunks := make(chan *nats.Msg, window+2) // the last chunk and the end want no acknowledgement
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, chunks)
	if err != nil {
		return Head{}, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where the connection is closed
	reconnects := nc.Stats().Reconnects
	var answer struct {
		Config Settings        `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	err = ask(ctx, nc, api(domain)+"STREAM.SNAPSHOT."+stream, map[string]any{
		"deliver_subject": inbox, "no_consumers": true, "chunk_size": size, "window_size": size * window,
	}, &answer)
	if err != nil {
		return Head{}, err
	}
	head := Head{Stream: stream, Config: answer.Config, state: answer.State}
	if err := json.Unmarshal(answer.State, &head.State); err != nil || len(answer.Config) == 0 {
		return head, errors.New("JetStream's answer has no settings or state")
	}
	if err := head.write(w); err != nil {
		return head, err
	}
	if err := receive(ctx, chunks, w); err != nil {
		return head, err
	}
	if nc.Stats().Reconnects != reconnects {
		return head, errors.New("the connection to NATS broke meanwhile, and something may be missing: do it again")
	}
	return head, nil
}

// receive writes chunks as they come, until the server says that it is done.
func receive(ctx context.Context, chunks <-chan *nats.Msg, w io.Writer) error {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for number, last := 1, false; ; number++ {
		var m *nats.Msg
		select {
		case m = <-chunks:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-quiet.C:
			return fmt.Errorf("NATS has sent nothing for %v: do it again", silence)
		}
		if len(m.Data) == 0 {
			return ended(m)
		}
		if last {
			return errors.New("NATS sent a chunk behind the last one")
		}
		last = m.Reply == ""
		if got := m.Reply[strings.LastIndexByte(m.Reply, '.')+1:]; !last && got != strconv.Itoa(number) {
			return fmt.Errorf("chunk %d was lost on the way, %q came: do it again", number, got)
		}
		if _, err := w.Write(m.Data); err != nil {
			return err
		}
		if !last {
			if err := m.Respond(nil); err != nil {
				return err
			}
		}
		quiet.Reset(silence)
	}
}

// ended is nil where the server's last message says that all was sent.
func ended(m *nats.Msg) error {
	switch status := m.Header.Get("Status"); status {
	case "", "204":
		return nil
	default:
		return fmt.Errorf("NATS broke off: %s %s", status, m.Header.Get("Description"))
	}
}
