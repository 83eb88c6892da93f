// Command authenticate answers Belfry's question "whose token is this?".
//
//	go run ./authenticate
//
// The question is a NATS request on "authentication". Its payload is the token
// as the client sent it, raw, no JSON around it. The answer is one of
//
//	{"success":true,"user_id":1}
//	{"success":false,"user_id":null}
//
// Start as many as you like: they share one queue group, so each question is
// answered once. When NATS goes away they connect again by themselves.
//
// Environment: NATS_URL (nats://127.0.0.1:4222), NATS_USER, NATS_PASSWORD,
// NATS_CA, BELFRY_NATS_PREFIX, TOKEN_SECRET.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/belfry-backend/belfry"
	"github.com/nats-io/nats.go"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("authenticate: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	opener, err := newOpener(cmp.Or(os.Getenv("TOKEN_SECRET"), demoSecret))
	if err != nil {
		return err
	}
	nc, err := belfry.Connect(log.Printf)
	if err != nil {
		return err
	}
	defer nc.Close()
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	subject := belfry.AuthenticationSubject()
	_, err = nc.QueueSubscribe(subject, "authenticators", func(question *nats.Msg) {
		answer(question, opener)
	})
	if err != nil {
		return fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	// The subscription stands once the server has answered what was sent after it.
	for ctx.Err() == nil && nc.FlushTimeout(time.Second) != nil {
	}
	log.Printf("answering %s on %s", subject, nc.ConnectedAddr())
	<-ctx.Done()
	if nc.Drain() == nil { // answers what was asked already
		<-closed
	}
	return nil
}

func answer(question *nats.Msg, opener *opener) {
	var reply struct {
		Success bool `json:"success"`
		UserID  any  `json:"user_id"`
	}
	from := cmp.Or(question.Header.Get("Belfry-Connection"), "unknown")
	if user, ok := opener.userOf(string(question.Data)); ok {
		reply.Success, reply.UserID = true, user
		log.Printf("accepted user %#v, connection %s", user, from)
	} else {
		log.Printf("refused, connection %s", from)
	}
	data, err := json.Marshal(reply)
	if err == nil {
		err = question.Respond(data)
	}
	if err != nil {
		log.Printf("answering: %v", err)
	}
}
