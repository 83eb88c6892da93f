// Package api is what servers ask of a gateway over HTTP, on the internal port,
// in the shape that Centrifugo's server libraries speak: each method is a POST
// to /api/<method> whose body is a JSON object.
//
//	POST /api/publish
//	X-API-Key: KEY
//
//	{"channel":"orders","data":{"n":1},"idempotency_key":"order-1"}
//
// The answer to a method is 200 with {"result":{…}} or, where it could not be
// done, 200 with {"error":{"code":C,"message":"…"}}: see Code. What is no
// request at all is answered by HTTP's own means, with a sentence in plain text:
// 400 not JSON, 401 no valid key, 413 too large, and 404, 405 as usual.
//
// Keys that a method does not know are ignored, as Centrifugo ignores them, so
// that its libraries' further options do no harm. GET /api/openapi.json
// describes all of it, and is open to whoever reaches the port.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"belfry/internal/access"
	"belfry/internal/journal"
)

// A Publisher appends to the streams and returns after the ack; a
// journal.Journal is one. An error that wraps neither journal.ErrChannel nor
// journal.ErrTTL may leave the publication stored: the receipt has the id that
// makes another try the same publication.
type Publisher interface {
	Publish(ctx context.Context, channel, id string, data []byte, ttl time.Duration) (journal.Receipt, error)
}

// A Backing is what the methods act on, looked up for each request.
type Backing struct {
	// Publisher returns why there is none now, or ever, for people.
	Publisher func() (Publisher, error)
	// MaxPayload is what NATS takes as one message, header included, in bytes;
	// 0 while it is not known. May be nil.
	MaxPayload func() int64
}

// A Server has the handlers.
type Server struct {
	guard *access.Guard
	on    Backing
	log   *slog.Logger
}

// New makes a server. Nobody uses a method whom guard does not let in.
func New(guard *access.Guard, on Backing, log *slog.Logger) *Server {
	return &Server{guard: guard, on: on, log: log}
}

// Mount adds the handlers to the internal port's mux.
func (s *Server) Mount(mux *http.ServeMux) {
	mux.Handle("POST /api/publish", s.guard.Wrap(s.method(s.publish)))
	mux.HandleFunc("GET /api/openapi.json", document)
}

const (
	// readWithin is how long a client may take over a request's body.
	readWithin = 30 * time.Second
	// otherBytes is how much may stand around the data in a request: names, keys
	// and white space.
	otherBytes = 16 << 10
	// headerBytes is how much of NATS's largest message is left for its header:
	// the id, which begins with the subject, and the TTL.
	headerBytes = 1 << 10
	// usualPayload is NATS's own default.
	usualPayload = 1 << 20
)

// maxData is the most that one publication may have, in bytes.
func (s *Server) maxData() int64 {
	most := int64(0)
	if s.on.MaxPayload != nil {
		most = s.on.MaxPayload()
	}
	if most <= 0 {
		most = usualPayload
	}
	return max(most-headerBytes, 0)
}

// method is a handler that reads a request, has it done, and answers.
func (s *Server) method(do func(context.Context, object) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A recorder in a test has no deadline.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readWithin))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.maxData()+otherBytes))
		if err != nil {
			s.refuse(w, err)
			return
		}
		o, err := parse(body)
		var result any
		if err == nil {
			result, err = do(r.Context(), o)
		}
		if err != nil {
			s.refuse(w, err)
			return
		}
		answer(w, reply{Result: result})
	})
}

// errTooLarge is answered 413.
var errTooLarge = errors.New("too large")

// refuse tells why a request was not done: in JSON where it was one.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	var (
		told  *Error
		large *http.MaxBytesError
	)
	switch {
	case errors.As(err, &told):
		answer(w, reply{Error: told})
	case errors.As(err, &large):
		http.Error(w, fmt.Sprintf("the request has more than %d bytes", large.Limit), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errTooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errNotJSON):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default: // the body broke off
		http.Error(w, "the request could not be read", http.StatusBadRequest)
	}
}

// A reply has one of both.
type reply struct {
	Result any    `json:"result,omitempty"`
	Error  *Error `json:"error,omitempty"`
}

func answer(w http.ResponseWriter, r reply) {
	body, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers and strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // fails only where the client is gone
}
