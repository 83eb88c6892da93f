package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"belfry/internal/bus"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	maxBody = 16 << 10 // bytes of a request
	maxData = 4 << 10  // bytes of the text in it

	// publishTimeout is how long an ack is waited for: less than the page waits
	// for the answer.
	publishTimeout = 5 * time.Second
)

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// order is what the page asks for. Kind is "durable" (notification.<user>, the
// default) or "legacy" (notification_<user>). ID makes a repeated request one
// message; without it there is a new one each time.
type order struct {
	User string `json:"user"`
	Data string `json:"data"`
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// notification is what goes to the user, in the original's form. The id lets
// a page know its own message again, as it would an order's number.
type notification struct {
	User string `json:"user_id"`
	Data string `json:"data"`
	ID   string `json:"id"`
}

func (b *Backend) servePublish(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, err.Error())
		return
	}
	subject, err := b.subject(o)
	if err != nil {
		fail(w, http.StatusBadRequest, "user: "+err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	receipt, err := b.publish(ctx, o, subject)
	if err != nil {
		b.log.Warn("example backend could not publish", "user", o.User, "err", err)
		status, text := explain(err)
		fail(w, status, text)
		return
	}
	answer(w, http.StatusOK, receipt)
}

func readOrder(body io.Reader) (order, error) {
	var o order
	in := json.NewDecoder(body)
	in.DisallowUnknownFields()
	if err := in.Decode(&o); err != nil {
		return o, fmt.Errorf("the body is not the JSON expected: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("the body goes on behind its JSON object")
	}
	if o.Kind == "" {
		o.Kind = "durable"
	}
	if o.ID == "" {
		o.ID = nuid.Next()
	}
	switch {
	case o.Kind != "durable" && o.Kind != "legacy":
		return o, errors.New(`kind: "durable" or "legacy"`)
	case !idForm.MatchString(o.ID):
		return o, errors.New("id: 1 to 64 of A-Z, a-z, 0-9, _ and -")
	case o.Data == "":
		return o, errors.New("data: there is no text")
	case len(o.Data) > maxData:
		return o, fmt.Errorf("data: %d bytes, at most %d are taken", len(o.Data), maxData)
	}
	return o, nil
}

func (b *Backend) subject(o order) (string, error) {
	if o.Kind == "legacy" {
		return b.names.LegacyUser(o.User)
	}
	return b.names.User(o.User)
}

// publish sends the order on its subject: to the stream, with its ack, where
// there is one, else to whoever listens.
func (b *Backend) publish(ctx context.Context, o order, subject string) (Receipt, error) {
	data, err := encode(notification{User: o.User, Data: o.Data, ID: o.ID})
	if err != nil {
		return Receipt{}, err
	}
	if o.Kind == "durable" && b.stream != nil {
		ack, err := b.stream.Publish(ctx, subject, o.ID, data)
		return Receipt{subject, o.ID, ack.Stream, ack.Seq, ack.Duplicate}, err
	}
	if !b.nc.IsConnected() {
		return Receipt{}, nats.ErrDisconnected // else it would wait in the client, unseen
	}
	if err := b.nc.Publish(subject, data); err != nil {
		return Receipt{}, fmt.Errorf("publishing on %s: %w", subject, err)
	}
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return Receipt{}, fmt.Errorf("publishing on %s: %w", subject, err)
	}
	return Receipt{Subject: subject, ID: o.ID}, nil
}

// encode leaves <, > and & as they are: whoever reads the payload in a terminal
// should see the text that was typed.
func encode(n notification) ([]byte, error) {
	var out bytes.Buffer
	in := json.NewEncoder(&out)
	in.SetEscapeHTML(false)
	if err := in.Encode(n); err != nil {
		return nil, fmt.Errorf("encoding a notification: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// explain turns an error into a status and words for the page. Unless the
// stream refused the message it may have been stored all the same: the same id
// makes a retry safe.
func explain(err error) (status int, text string) {
	var refused *jetstream.APIError
	switch {
	case errors.As(err, &refused):
		return http.StatusBadGateway, "the stream refused it: " + refused.Description
	case errors.Is(err, bus.ErrUnavailable), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionClosed):
		return http.StatusServiceUnavailable, "NATS is not available"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return http.StatusGatewayTimeout, "NATS did not answer in time"
	}
	return http.StatusInternalServerError, "the example backend failed, its log says why"
}

func fail(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"error": text})
}

func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone: nothing to do
}
