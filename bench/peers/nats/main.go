// Command nats is a NATS server in a process of its own: the broker of the
// other servers, and with its WebSocket listener one that is measured itself.
//
// When it is ready it prints one line, {"nats":"nats://…","clients":"ws://…"}.
// It ends with SIGINT or SIGTERM.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where NATS clients connect")
	ws := flag.String("ws", "", "where WebSocket clients connect; empty: nowhere")
	store := flag.String("jetstream", "", "the directory of JetStream's store; empty: no JetStream")
	flag.Parse()
	if err := run(*listen, *ws, *store); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func run(listen, ws, store string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	s, err := start(listen, ws, store)
	if err != nil {
		return err
	}
	defer s.Shutdown()
	ready := map[string]string{"nats": s.ClientURL()}
	if ws != "" {
		ready["clients"] = s.WebsocketURL()
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	<-stop
	return nil
}

// start returns once the server takes connections.
func start(listen, ws, store string) (*server.Server, error) {
	o := &server.Options{NoSigs: true, NoLog: true, JetStream: store != "", StoreDir: store, DisableJetStreamBanner: true}
	var err error
	if o.Host, o.Port, err = address(listen); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if ws != "" {
		o.Websocket.NoTLS = true
		if o.Websocket.Host, o.Websocket.Port, err = address(ws); err != nil {
			return nil, fmt.Errorf("--ws: %w", err)
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("configuring: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("not ready within 10 s: is the port taken, or the store locked?")
	}
	return s, nil
}

// address takes host:port apart; port 0 is any free one, which NATS calls -1.
func address(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(p); err != nil {
		return "", 0, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}
