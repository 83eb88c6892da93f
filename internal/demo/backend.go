// Package demo is the example backend inside `belfry demo`: it answers the
// gateway's authentication requests as the original system's backend does, and
// publishes what the demo page asks it to. It is a NATS client like any other
// and uses nothing of the gateway's but the names of the subjects.
//
// Whoever can reach its handler can publish to every user, and its tokens are
// made with a public key: it is for a listener on loopback.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"belfry/internal/bus"
	"belfry/internal/subject"

	"github.com/nats-io/nats.go"
)

// A Publisher appends one message to the stream that captures subject and
// returns after the stream's ack, trying with the same id until ctx ends. It is
// a *bus.Bus.
type Publisher interface {
	Publish(ctx context.Context, subject, id string, data []byte) (bus.Ack, error)
}

// Receipt is what became of a publication. Stream and Seq are those of the
// stream's ack; without an ack they are zero.
type Receipt struct {
	Subject   string `json:"subject"`
	ID        string `json:"id"`
	Stream    string `json:"stream,omitempty"`
	Seq       uint64 `json:"seq,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// A Backend is the running example backend.
type Backend struct {
	nc     *nats.Conn
	stream Publisher
	names  subject.Names
	log    *slog.Logger
	sub    *nats.Subscription
}

// Start subscribes to the authentication subject, in a queue group, so that of
// several demos on one NATS one answers. stream is nil with durable: false: then
// nothing is acknowledged. nc may still be connecting.
func Start(nc *nats.Conn, stream Publisher, names subject.Names, log *slog.Logger) (*Backend, error) {
	b := &Backend{nc: nc, stream: stream, names: names, log: log}
	sub, err := nc.QueueSubscribe(names.Auth(), queue(names), b.authenticate)
	if err != nil {
		return nil, fmt.Errorf("subscribing the example backend to %s: %w", names.Auth(), err)
	}
	b.sub = sub
	if !nc.IsConnected() {
		return b, nil // the subscription goes out with the connection
	}
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("subscribing the example backend to %s: %w", names.Auth(), err)
	}
	return b, nil
}

// Handler serves POST /demo/publish.
func (b *Backend) Handler() http.Handler { return guard(http.HandlerFunc(b.servePublish)) }

// Stop ends the subscription. The connection stays the caller's.
func (b *Backend) Stop() {
	if err := b.sub.Unsubscribe(); err != nil && b.sub.IsValid() {
		b.log.Warn("unsubscribing the example backend", "err", err)
	}
}

// authenticate answers one request: the token in, who it is out.
func (b *Backend) authenticate(request *nats.Msg) {
	reply := []byte(`{"success":false,"user_id":null}`)
	user, err := userOf(request.Data)
	if err == nil {
		reply = fmt.Appendf(nil, `{"success":true,"user_id":%s}`, user)
	}
	if err := request.Respond(reply); err != nil {
		b.log.Warn("answering an authentication request", "err", err)
		return
	}
	b.log.Debug("example backend answered", "user", string(user), "success", err == nil)
}

// queue names the queue group, behind the prefix like everything else.
func queue(names subject.Names) string {
	if names.Prefix == "" {
		return "belfry-demo"
	}
	return names.Prefix + ".belfry-demo"
}
