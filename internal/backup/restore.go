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
	"github.com/nats-io/nats.go/jetstream"
)

// A Change is what a restored stream has otherwise than its copy.
type Change struct {
	Metadata map[string]string // added to the copy's
	Replicas int               // 0: as many as the copy's
}

const (
	// abandonWithin bounds the end of a restore that did not work out, and
	// undoWithin the deletion of what it left: each has its own, so that a server
	// that does not answer the one is still asked for the other.
	abandonWithin = 10 * time.Second
	undoWithin    = 15 * time.Second
	// lookAgain bounds one look for what was restored in part.
	lookAgain = 2 * time.Second
	// heardWithin is for how long the first chunk is sent again where nobody takes
	// it. The server gives up after 5 s without one.
	heardWithin = 4 * time.Second
	hearEvery   = 20 * time.Millisecond
)

// errDeaf: nobody takes the chunks, so this one has reached nobody.
var errDeaf = errors.New("NATS has given up on it: it had nothing to read for too long, or was restarted")

// Restore makes a stream from a copy that Snapshot wrote, with its name, its
// sequences and the times of its messages. It never touches a stream that is
// there: ErrExists. It reads r to its end and believes what it reads: who has
// it from a disk checks it first.
//
// The caller gives the stream another epoch, by Change.Metadata or behind it:
// sequences above the copy's last are given out again.
//
// On a cluster it returns when all copies of the stream are made.
//
// After ErrReplicas or ErrBehind the stream is there and whole, with fewer copies.
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
	replicas := head.Config.Replicas()
	if c.Replicas > 0 {
		replicas = c.Replicas
	}
	head.Config.set("num_replicas", 1)
	err = restore(ctx, nc, domain, in, head)
	if err == nil && replicas > 1 {
		err = grow(ctx, nc, domain, head.Stream, replicas)
	}
	if err != nil {
		return head, fmt.Errorf("restore stream %s: %w", head.Stream, err)
	}
	return head, nil
}

func restore(ctx context.Context, nc *nats.Conn, domain string, r io.Reader, head Head) error {
	var answer struct {
		To string `json:"deliver_subject"`
	}
	question := map[string]any{"config": head.Config, "state": head.state}
	broke := breaks(nc)
	if err := ask(ctx, nc, api(domain)+"STREAM.RESTORE."+head.Stream, question, &answer); err != nil {
		if unanswered(err) { // and not deleted: what is there may have been there before
			return fmt.Errorf("%w; %w", err, ErrUnfinished)
		}
		return err
	}
	if answer.To == "" {
		return errors.New("JetStream's answer does not say where to send the copy")
	}
	s := sender{nc: nc, of: head.State, broke: broke, to: answer.To, inbox: nc.NewInbox(), replies: make(chan *nats.Msg, window+1)}
	sub, err := nc.ChanSubscribe(s.inbox, s.replies)
	if err != nil {
		return undo(nc, domain, head.Stream, err, broke, nil)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where the connection is closed
	if err := s.send(ctx, r); err != nil {
		return undo(nc, domain, head.Stream, err, broke, s.abandon)
	}
	return nil
}

// unanswered says whether a question may have had an effect though its answer did
// not come, or came from one node of a cluster that has begun and could not go on:
// then the cluster keeps the stream until it is deleted.
func unanswered(err error) bool {
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode == codeAssign || refused.ErrorCode == codeRestore
	}
	return !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrPermissionViolation)
}

// A sender brings a copy to the server, chunk by chunk. Each is answered by an
// empty message, or by an error; the end by what was made of it.
type sender struct {
	nc        *nats.Conn
	of        State // what there is to be
	broke     func() bool
	to, inbox string
	replies   chan *nats.Msg
	waiting   int  // for so many answers
	heard     bool // the first chunk was taken
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

// publish sends a chunk, or the end where it is empty. The first one goes alone:
// in a cluster the server's word where to send the copy may be here before the
// node that this connection is at knows that somebody listens there, which took
// one restore in ten on three nodes of one machine. What came to nobody is sent
// again.
func (s *sender) publish(ctx context.Context, data []byte) error {
	if s.heard || len(data) == 0 {
		return s.put(ctx, data)
	}
	for since := time.Now(); ; {
		if err := s.put(ctx, data); err != nil {
			return err
		}
		answer, err := s.answer(ctx)
		switch {
		case err == nil && len(answer) > 0:
			return refused(answer)
		case err == nil:
			s.heard = true
			return nil
		case !errors.Is(err, errDeaf) || time.Since(since) > heardWithin:
			return err
		}
		s.waiting--
		select {
		case <-time.After(hearEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *sender) put(ctx context.Context, data []byte) error {
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
			State State `json:"state"`
		}
		if err := read(answer, &made); err != nil {
			return err
		}
		if made.State.Last != s.of.Last || made.State.Messages > s.of.Messages {
			return fmt.Errorf("%w: it has %d messages up to sequence %d, and the copy %d up to %d",
				ErrRefused, made.State.Messages, made.State.Last, s.of.Messages, s.of.Last)
		}
		return nil
	}
}

// answer is the next one.
func (s *sender) answer(ctx context.Context) ([]byte, error) {
	m, err := await(ctx, s.replies, s.broke)
	if err != nil {
		return nil, err
	}
	if m.Header.Get("Status") == "503" {
		return nil, errDeaf
	}
	s.waiting--
	return m.Data, nil
}

// abandon ends a restore that did not work out, so that the server does not wait
// for more, and waits for the server's word that it is ended. Where it takes the
// end for the end of a whole copy there is a stream, which is deleted as well.
func (s *sender) abandon(ctx context.Context) {
	if connected(ctx, s.nc) {
		s.broke = breaks(s.nc)
		_ = s.finish(ctx) // that it was in part is why we are here
	}
}

// refused is the error that an answer to a chunk is.
func refused(answer []byte) error {
	if err := read(answer, &struct{}{}); err != nil {
		return err
	}
	return fmt.Errorf("JetStream answered a chunk with %.200q", answer)
}

// undo deletes a stream that was restored in part because of an error, which it
// returns with what came of that. abandon comes before, if there is one. After a
// break it is ErrUnfinished whatever the server says: one that was restarted may
// find later what it had in part.
func undo(nc *nats.Conn, domain, stream string, because error, broke func() bool, abandon func(context.Context)) error {
	if abandon != nil {
		ctx, cancel := context.WithTimeout(context.Background(), abandonWithin)
		abandon(ctx)
		cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoWithin)
	defer cancel()
	err := gone(ctx, nc, domain, stream)
	if err == nil && broke() {
		err = errBroke
	}
	if err != nil {
		return fmt.Errorf("%w; %w (%w)", because, ErrUnfinished, err)
	}
	return because
}

// gone deletes a stream until it is gone, or twice not there: a server that was
// restarted may still be finding it.
func gone(ctx context.Context, nc *nats.Conn, domain, stream string) error {
	err := context.Canceled
	for none := 0; none < 2; {
		if nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if ctx.Err() != nil {
			return err
		}
		try, done := context.WithTimeout(ctx, lookAgain)
		err = Delete(try, nc, domain, stream)
		switch {
		case err == nil:
			done()
			return nil
		case errors.Is(err, ErrNoStream):
			none++
			<-try.Done()
		default:
			select {
			case <-time.After(lookEvery): // where it is refused at once
			case <-try.Done():
			}
		}
		done()
	}
	return nil
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
