// Command publish sends a notification to a user.
//
//	go run ./publish USER DATA [ID]
//	go run ./publish 1 '{"user_id":"1","data":"hello"}'
//
// DATA goes to the user's connections byte for byte; "-" reads it from stdin.
//
// The message is stored in a stream, and the stream says so with an ack. Why
// wait for it: a publish without one is a packet on its way. In a burst, while
// NATS elects a leader or restarts, such messages vanish without an error.
// So: no ack, no success; send again, with the same id. The stream keeps the
// first message of an id and drops its copies for two minutes, so that a retry
// stores nothing twice where only the ack was lost.
//
// ID names this one event in your system ("order-17-paid"), so that a retry by
// another process is the same message too. Without ID a fresh one is made.
//
// Environment: PUBLISH_DEADLINE (seconds, 10), NATS_URL (nats://127.0.0.1:4222),
// NATS_USER, NATS_PASSWORD, NATS_CA, BELFRY_NATS_PREFIX.
// Exit code: 0 stored, 1 not acknowledged in time, 2 cannot be sent at all.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"example.com/belfry-backend/belfry"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fail(2, "usage: publish USER DATA [ID]   (DATA - reads stdin; ID without spaces)")
	}
	data, id := []byte(os.Args[2]), rand.Text()
	if len(os.Args) == 4 {
		id = os.Args[3]
	}
	if strings.ContainsFunc(id, func(c rune) bool { return c < '!' || c > '~' }) {
		fail(2, "the ID has spaces, or others than ASCII characters")
	}
	if os.Args[2] == "-" {
		var err error
		if data, err = io.ReadAll(os.Stdin); err != nil {
			fail(2, "reading stdin: %v", err)
		}
	}
	subject, err := belfry.NotificationSubject(os.Args[1])
	if err != nil {
		fail(2, "cannot be sent: %v", err)
	}
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("PUBLISH_DEADLINE"), "10"), 64)
	if err != nil {
		fail(2, "PUBLISH_DEADLINE is a number of seconds")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds*float64(time.Second)))
	defer cancel()

	ack, err := publish(ctx, subject, id, data)
	switch {
	case errors.Is(err, errNoAck):
		say("%s was not acknowledged within %v s: %v", subject, seconds, err)
		fail(1, "keep it: put it with its id %s into an outbox table or a queue, and publish it again later with the same id", id)
	case err != nil:
		fail(2, "cannot be sent: %v", err)
	}
	line, _ := json.Marshal(receipt{subject, id, ack.Stream, ack.Sequence, ack.Duplicate})
	fmt.Println(string(line))
}

// receipt is what is printed of a message that was stored.
type receipt struct {
	Subject   string `json:"subject"`
	ID        string `json:"id"`
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"` // it had been stored before
}

var (
	errNoAck = errors.New("no ack")
	errAway  = errors.New("NATS cannot be reached, or refuses the credentials")
)

// publish tries until the ack is there or ctx ends.
func publish(ctx context.Context, subject, id string, data []byte) (*jetstream.PubAck, error) {
	nc, err := belfry.Connect(func(string, ...any) {})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	// The subject is part of the id: streams compare ids alone, and "order-17"
	// for two users is two messages.
	wireID := subject + ":" + id
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		ack, err := (*jetstream.PubAck)(nil), errAway
		if nc.IsConnected() { // else it would only pile up in a buffer
			ack, err = try(ctx, js, subject, wireID, data)
		}
		if err == nil || errors.Is(err, nats.ErrMaxPayload) {
			return ack, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errNoAck, err)
		case <-time.After(pause/2 + mathrand.N(pause/2)):
		}
	}
}

// try is one attempt, of 2 s at most.
func try(ctx context.Context, js jetstream.JetStream, subject, wireID string, data []byte) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return js.Publish(ctx, subject, data, jetstream.WithMsgID(wireID), jetstream.WithRetryAttempts(0))
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "publish: "+format+"\n", args...) }

func fail(code int, format string, args ...any) {
	say(format, args...)
	os.Exit(code)
}
