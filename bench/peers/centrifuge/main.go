// Command centrifuge is the smallest server on the library of that name that
// does what Belfry's clients ask for: it authenticates over NATS, and each
// channel is one NATS subject.
//
// When it is ready it prints one line, {"clients":"ws://…"}. It ends with SIGINT
// or SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/centrifugal/centrifuge"
	"github.com/nats-io/nats.go"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where clients connect")
	url := flag.String("nats", nats.DefaultURL, "the broker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *url); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, url string) error {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connecting to NATS at %s: %w", url, err)
	}
	defer conn.Close()
	node, err := newNode(conn)
	if err != nil {
		return err
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(node)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"clients": "ws://" + l.Addr().String() + path}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-served:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

const path = "/connection/websocket"

// handler is tuned as the library's documentation recommends for many
// connections: buffers for writing from a pool, small ones for reading, no
// compression, and the read loop's stack kept small.
func handler(node *centrifuge.Node) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:                func(*http.Request) bool { return true },
		UseWriteBufferPool:         true,
		ReadBufferSize:             512,
		ProcessCommandsOffReadLoop: true,
	}))
	return mux
}

// newNode is a running node: presence, history and recovery are off, and a
// connection may have any number of messages in a frame.
func newNode(conn *nats.Conn) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:           centrifuge.LogLevelError,
		LogHandler:         func(e centrifuge.LogEntry) { fmt.Fprintln(os.Stderr, e.Message, e.Fields) },
		ClientQueueMaxSize: 1 << 20, // as Belfry's limits.queue
	})
	if err != nil {
		return nil, fmt.Errorf("making the node: %w", err)
	}
	node.SetBroker(newBroker(conn))
	identities := &identities{conn: conn}
	node.OnConnecting(func(ctx context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		user, err := identities.of(ctx, e.Token)
		if err != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{
			Credentials:        &centrifuge.Credentials{UserID: user},
			MaxMessagesInFrame: -1,
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			if e.Channel[0] == '#' && e.Channel[1:] != client.UserID() {
				answer(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	return node, nil
}
