package apptest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Block is one of an event stream. ID is its own: the one before it still
// counts for a client where it is empty.
type Block struct{ Event, ID, Data string }

// A Stream is an event stream as it is read, for who wants no more than that.
type Stream struct {
	body io.ReadCloser
	in   *bufio.Reader
}

// OpenStream asks for a stream: /events of host:port with this query, and what
// the client has seen. Another status than 200 is an error that names it.
func OpenStream(ctx context.Context, public string, query url.Values, lastID string) (*Stream, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+public+"/events?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := streams.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		_ = answer.Body.Close()
		return nil, fmt.Errorf("status %d: %s", answer.StatusCode, body)
	}
	return &Stream{answer.Body, bufio.NewReader(answer.Body)}, nil
}

// streams has no time limit and a socket for each.
var streams = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

// Next reads the next block that has data, as a browser does: one that breaks
// off is none.
func (s *Stream) Next() (Block, error) {
	var b Block
	var data []string
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return Block{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "\r") {
			return Block{}, fmt.Errorf("a carriage return in %q", line)
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && data != nil:
			b.Data = strings.Join(data, "\n")
			return b, nil
		case line == "":
			b = Block{}
		case field == "data":
			data = append(data, value)
		case field == "event":
			b.Event = value
		case field == "id":
			b.ID = value
		}
	}
}

// Close ends it. A Next that waits fails.
func (s *Stream) Close() { _ = s.body.Close() }

// Events is an EventSource: a stream that remembers what it was sent.
type Events struct {
	t      testing.TB
	stream *Stream

	mu    sync.Mutex // guards the following
	got   []Block
	next  int // the first of got that Next has not returned
	last  string
	moved chan struct{} // closed and replaced whenever something comes
	err   error         // why it ended
}

// Follow opens the stream of the user of Backend. query is names and values in
// turn; last-event-id is a header among them.
func Follow(t testing.TB, public, user string, query ...string) *Events {
	t.Helper()
	values, lastID := url.Values{"token": {"user:" + user}}, ""
	for i := 0; i < len(query); i += 2 {
		if query[i] == "last-event-id" {
			lastID = query[i+1]
			continue
		}
		values.Set(query[i], query[i+1])
	}
	ctx, cancel := context.WithCancel(context.Background())
	stuck := time.AfterFunc(Patience, cancel)
	s, err := OpenStream(ctx, public, values, lastID)
	stuck.Stop()
	if err != nil {
		cancel()
		t.Fatalf("opening the event stream of %s: %v", user, err)
	}
	e := &Events{t: t, stream: s, last: lastID, moved: make(chan struct{})}
	t.Cleanup(func() { cancel(); s.Close() })
	go e.read()
	return e
}

func (e *Events) read() {
	for {
		b, err := e.stream.Next()
		e.mu.Lock()
		if err == nil {
			e.got = append(e.got, b)
		}
		e.err = err
		close(e.moved)
		e.moved = make(chan struct{})
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Next waits for the next block.
func (e *Events) Next() Block {
	e.t.Helper()
	b, err := e.TryNext(Patience)
	if err != nil {
		e.t.Fatalf("waiting for a block: %v", err)
	}
	return b
}

// TryNext waits for the next block, for d.
func (e *Events) TryNext(d time.Duration) (Block, error) {
	deadline := time.After(d)
	for {
		e.mu.Lock()
		if e.next < len(e.got) {
			b := e.got[e.next]
			e.next++
			if b.ID != "" {
				e.last = b.ID
			}
			e.mu.Unlock()
			return b, nil
		}
		moved, err := e.moved, e.err
		e.mu.Unlock()
		if err != nil {
			return Block{}, err
		}
		select {
		case <-moved:
		case <-deadline:
			return Block{}, errors.New("nothing came in time")
		}
	}
}

// News waits for the next block that is not a position.
func (e *Events) News() Block {
	e.t.Helper()
	for {
		if b := e.Next(); b.Event != "position" {
			return b
		}
	}
}

// Expect waits for the data of these publications, in this order, with nothing
// but positions between.
func (e *Events) Expect(want ...string) {
	e.t.Helper()
	for _, w := range want {
		switch b := e.News(); {
		case b.Data != w:
			e.t.Fatalf("got %q, want %q", b, w)
		case b.ID == "":
			e.t.Fatalf("%q has no id", b)
		}
	}
}

// ExpectReset waits for a reset with this reason, with nothing but positions
// before it.
func (e *Events) ExpectReset(why string) {
	e.t.Helper()
	b := e.News()
	if b.Event != "reset" || b.Data != `{"reason":"`+why+`"}` || b.ID == "" {
		e.t.Fatalf("got %q, want a reset for %s, with an id", b, why)
	}
}

// Started waits for the first block, the client's position.
func (e *Events) Started() *Events {
	e.t.Helper()
	if b := e.Next(); b.Event != "position" || b.ID == "" || b.Data != "{}" {
		e.t.Fatalf("got %q, want a position first", b)
	}
	return e
}

// LastID is the id that the client would come back with, of what Next has
// returned.
func (e *Events) LastID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Got is everything that has come so far.
func (e *Events) Got() []Block {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// Close ends it.
func (e *Events) Close() { e.stream.Close() }
