package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
)

// A Change is what a restored stream has otherwise than its copy.
type Change struct {
	Metadata map[string]string // added to the copy's
	Replicas int               // 0: as many as the copy's
}

// undoWithin bounds the deletion of what was restored in part.
const undoWithin = 10 * time.Second

// Restore makes a stream from a copy that Snapshot wrote, with its name, its
// sequences and the times of its messages. It never touches a stream that is
// there: ErrExists. It reads r to its end and believes what it reads: who has
// it from a disk checks it first.
//
// The caller gives the stream another epoch, by Change.Metadata or behind it:
// sequences above the copy's last are given out again.
//
// After any other error there is no stream, or the error is ErrUnfinished too.
func Restore(ctx context.Context, nc *nats.Conn, domain string, r io.Reader, c Change) (Head, error) {
	in := bufio.NewReaderSize(r, headBytes)
	head, err := readHead(in)
	if err != nil {
		return head, err
	}
	if len(c.Metadata) > 0 {
		meta := head.Config.Metadata()
		maps.Copy(meta, c.Metadata)
		head.Config.set("metadata", meta)
	}
	if c.Replicas > 0 {
		head.Config.set("num_replicas", c.Replicas)
	}
	if err := restore(ctx, nc, domain, in, head); err != nil {
		return head, fmt.Errorf("restore stream %s: %w", head.Stream, err)
	}
	return head, nil
}

func restore(ctx context.Context, nc *nats.Conn, domain string, r io.Reader, head Head) error {
	var answer struct {
		To string `json:"deliver_subject"`
	}
	question := map[string]any{"config": head.Config, "state": head.state}
	if err := ask(ctx, nc, api(domain)+"STREAM.RESTORE."+head.Stream, question, &answer); err != nil {
		return err
	}
	if answer.To == "" {
		return errors.New("JetStream's answer does not say where to send the copy")
	}
	s := sender{nc: nc, to: answer.To, inbox: nc.NewInbox(), replies: make(chan *nats.Msg, window+1)}
	sub, err := nc.ChanSubscribe(s.inbox, s.replies)
	if err != nil {
		return undo(nc, domain, head.Stream, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where the connection is closed
	if err := s.send(ctx, r); err != nil {
		s.abandon()
		return undo(nc, domain, head.Stream, err)
	}
	return nil
}

// A sender brings a copy to the server, chunk by chunk. Each is answered by an
// empty message, or by an error; the end by what was made of it.
type sender struct {
	nc        *nats.Conn
	to, inbox string
	replies   chan *nats.Msg
	waiting   int // for so many answers
}

func (s *sender) send(ctx context.Context, r io.Reader) error {
	chunk := make([]byte, min(chunkBytes, int(s.nc.MaxPayload())))
	for {
		n, err := fill(r, chunk)
		if n > 0 {
			if err := s.publish(ctx, chunk[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return s.finish(ctx)
		case err != nil:
			return fmt.Errorf("read the copy: %w", err)
		}
	}
}

// fill is io.ReadFull that says EOF at the end and nowhere else: a reader that
// ends too early has an ErrUnexpectedEOF of its own.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

func (s *sender) publish(ctx context.Context, data []byte) error {
	for s.waiting >= window {
		answer, err := s.answer(ctx)
		if err != nil {
			return err
		}
		if len(answer) > 0 {
			return refused(answer)
		}
	}
	if err := s.nc.PublishRequest(s.to, s.inbox, data); err != nil {
		return err
	}
	s.waiting++
	return nil
}

// finish says that all was sent, and waits for what was made of it.
func (s *sender) finish(ctx context.Context) error {
	if err := s.publish(ctx, nil); err != nil {
		return err
	}
	for {
		answer, err := s.answer(ctx)
		if err != nil {
			return err
		}
		if len(answer) == 0 && s.waiting > 0 {
			continue
		}
		var made struct {
			Config Settings `json:"config"`
		}
		if err := read(answer, &made); err != nil {
			return err
		}
		if len(made.Config) == 0 {
			return errors.New("JetStream's answer does not say what it has restored")
		}
		return nil
	}
}

// answer is the next one.
func (s *sender) answer(ctx context.Context) ([]byte, error) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	select {
	case m := <-s.replies:
		if m.Header.Get("Status") == "503" {
			return nil, errors.New("NATS has given up on it: it had nothing to read for too long, or was restarted")
		}
		s.waiting--
		return m.Data, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-quiet.C:
		return nil, fmt.Errorf("NATS has not answered for %v", silence)
	}
}

// abandon ends a restore that did not work out, so that the server does not wait
// for more, and waits for the server's word that it is ended.
func (s *sender) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), undoWithin)
	defer cancel()
	_ = s.finish(ctx) // that it was in part is why we are here
}

// refused is the error that an answer to a chunk is.
func refused(answer []byte) error {
	if err := read(answer, &struct{}{}); err != nil {
		return err
	}
	return fmt.Errorf("JetStream answered a chunk with %.200q", answer)
}

// undo deletes a stream that was restored in part because of an error, which it
// returns with what came of that.
func undo(nc *nats.Conn, domain, stream string, because error) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoWithin)
	defer cancel()
	if err := Delete(ctx, nc, domain, stream); err != nil && !errors.Is(err, ErrNoStream) {
		return fmt.Errorf("%w; %w (%w)", because, ErrUnfinished, err)
	}
	return because
}

// Delete deletes a stream with all that it has; ErrNoStream where there is none.
func Delete(ctx context.Context, nc *nats.Conn, domain, stream string) error {
	var answer struct {
		Success bool `json:"success"`
	}
	if err := ask(ctx, nc, api(domain)+"STREAM.DELETE."+stream, nil, &answer); err != nil {
		return fmt.Errorf("delete stream %s: %w", stream, err)
	}
	if !answer.Success {
		return fmt.Errorf("delete stream %s: JetStream says that it did not", stream)
	}
	return nil
}
