// Package backup copies the streams of a NATS JetStream out and back in, by
// the snapshot and restore API of the server.
//
// Snapshot writes one stream, Restore reads it back: what passes between them
// is a line of JSON with the stream's settings and state, and behind it what
// the server sent, which only a server can read.
//
// The package knows streams, not what Belfry keeps in them; who may read whom,
// and what epoch a restored stream has, is its caller's business.
//
// A user of NATS needs the rights to publish to $JS.API.STREAM.SNAPSHOT.<stream>
// and $JS.SNAPSHOT.ACK.<stream>.> for a copy, and for restoring one to
// $JS.API.STREAM.RESTORE.<stream>, $JS.SNAPSHOT.RESTORE.<stream>.> and
// $JS.API.STREAM.DELETE.<stream>, on a cluster also $JS.API.STREAM.INFO.<stream>
// and $JS.API.STREAM.UPDATE.<stream>; and to subscribe to its inbox.
package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrNoStream: there is no stream of that name.
	ErrNoStream = errors.New("there is no such stream")
	// ErrExists: a stream of that name exists, and is not touched.
	ErrExists = errors.New("the stream exists")
	// ErrReplicas: a server alone keeps no stream more than once.
	ErrReplicas = errors.New("this NATS is no cluster, and the stream has replicas")
	// ErrRefused: the server could not make a stream of the copy. That may pass: a
	// server that is still removing an earlier stream of the name from its disk
	// finds what is left of it in the new one's place (seen with 2.15.2, where a
	// stream was deleted twice within a second).
	ErrRefused = errors.New("NATS made no sound stream of the copy")
	// ErrUnfinished: a stream was restored in part and could not be deleted.
	ErrUnfinished = errors.New("the stream may be there in part: delete it, or restore again over it")
	// ErrFormat: what is read is not what Snapshot wrote.
	ErrFormat = errors.New("not a sound copy")
)

// The server's error codes that have an error of their own here.
const (
	codeNoStream jetstream.ErrorCode = 10059
	codeExists   jetstream.ErrorCode = 10130
	codeInUse    jetstream.ErrorCode = 10058
	codeReplicas jetstream.ErrorCode = 10074
	codeRestore  jetstream.ErrorCode = 10062
	codeAssign   jetstream.ErrorCode = 10048
)

const (
	// apiTimeout bounds one question to JetStream.
	apiTimeout = 10 * time.Second
	// headBytes bounds the line before the server's own bytes.
	headBytes = 1 << 20
	// chunkBytes is what is sent at once, and window how much of it unanswered.
	chunkBytes = 128 << 10
	window     = 32
)

// A Head says what a copy is of.
type Head struct {
	Stream string
	Config Settings
	State  State
	state  json.RawMessage // as the server wrote it
}

// A State is how much a stream had when the copy was begun.
type State struct {
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	First    uint64    `json:"first_seq"`
	Last     uint64    `json:"last_seq"`
	Newest   time.Time `json:"last_ts"` // when the newest message was stored
}

// Settings are a stream's as the API has them: those that this Belfry has never
// heard of are kept as they came.
type Settings map[string]json.RawMessage

// Metadata is the stream's; changing it changes nothing.
func (s Settings) Metadata() map[string]string {
	meta := map[string]string{}
	if text, ok := s["metadata"]; ok {
		_ = json.Unmarshal(text, &meta) // of a server, which has no other kind
	}
	return meta
}

// Replicas is how many servers keep the stream.
func (s Settings) Replicas() (n int) {
	_ = json.Unmarshal(s["num_replicas"], &n)
	return max(n, 1)
}

// set gives a setting a value that can be marshalled.
func (s Settings) set(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // numbers and maps of strings always can
	}
	s[name] = text
}

// headJSON is the line that a copy begins with.
type headJSON struct {
	Stream string          `json:"stream"`
	Config Settings        `json:"config"`
	State  json.RawMessage `json:"state"`
}

func (h Head) write(w io.Writer) error {
	line, err := json.Marshal(headJSON{h.Stream, h.Config, h.state})
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// readHead reads the line that a copy begins with; what follows is the server's.
func readHead(r *bufio.Reader) (Head, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return Head{}, fmt.Errorf("%w: its first line: %w", ErrFormat, err)
	}
	var h headJSON
	if err := json.Unmarshal(line, &h); err != nil {
		return Head{}, fmt.Errorf("%w: its first line: %w", ErrFormat, err)
	}
	head := Head{Stream: h.Stream, Config: h.Config, state: bytes.Clone(h.State)}
	if err := json.Unmarshal(h.State, &head.State); err != nil || h.Stream == "" || len(h.Config) == 0 {
		return Head{}, fmt.Errorf("%w: its first line has no stream, settings or state", ErrFormat)
	}
	return head, nil
}

// api is the subject that the JetStream API's begin with.
func api(domain string) string {
	if domain == "" {
		return "$JS.API."
	}
	return "$JS." + domain + ".API."
}

// ask asks the API, without data where question is nil, and reads its answer
// into answer.
func ask(ctx context.Context, nc *nats.Conn, subject string, question, answer any) error {
	var data []byte
	if question != nil {
		var err error
		if data, err = json.Marshal(question); err != nil {
			return err
		}
	}
	within, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	reply, err := nc.RequestWithContext(within, subject, data)
	refused := nc.LastError()
	switch {
	case err != nil && errors.Is(refused, nats.ErrPermissionViolation) && strings.Contains(refused.Error(), strconv.Quote(subject)):
		return fmt.Errorf("this NATS user lacks the right to publish to %s; docs/backup.md has what is needed: %w", subject, refused)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nobody answers %s: this account has no JetStream, its cluster is electing a leader, or this user lacks the right: %w", subject, err)
	case err != nil:
		return fmt.Errorf("%s: %w", subject, err)
	}
	return read(reply.Data, answer)
}

// read reads an answer of the API, or the error that it is.
func read(data []byte, answer any) error {
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("read JetStream's answer: %w", err)
	}
	if e := failed.Error; e != nil {
		switch e.ErrorCode {
		case codeNoStream:
			return fmt.Errorf("%w: %w", ErrNoStream, e)
		case codeExists, codeInUse:
			return fmt.Errorf("%w: %w", ErrExists, e)
		case codeRestore:
			return fmt.Errorf("%w: %w", ErrRefused, e)
		case codeReplicas:
			return fmt.Errorf("%w: %w", ErrReplicas, e)
		}
		return e
	}
	return json.Unmarshal(data, answer)
}
