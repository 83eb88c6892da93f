//go:build linux

// Command floor is the least that a gateway for notifications can do on this
// machine, as a yardstick: one event loop that accepts, answers, and writes.
// Nobody is asked who a client is, nothing is stored, no limit is held.
//
// To clients it speaks the messagechannel dialect, with tokens bench:USER. To
// publishers it looks like a NATS server that knows PUB and HPUB on
// notification.USER; there is no broker between.
//
// When it is ready it prints one line, {"clients":"ws://…","nats":"nats://…"}.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where clients connect")
	publishers := flag.String("nats", "127.0.0.1:0", "where publishers connect")
	coalesce := flag.Bool("coalesce", false, "join what was read from a publisher in one go into one write for each connection")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "floor:", run(*listen, *publishers, *coalesce))
	os.Exit(1)
}

// run returns only what went wrong; a signal ends the process.
func run(listen, publishers string, coalesce bool) error {
	l, err := newLoop(coalesce)
	if err != nil {
		return err
	}
	clients, err := l.listen(listen, func(fd int) endpoint { return &client{fd: fd, loop: l} })
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	nats, err := l.listen(publishers, func(fd int) endpoint { return newPublisher(fd, l) })
	if err != nil {
		return fmt.Errorf("listening on %s: %w", publishers, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"clients": "ws://" + clients + "/", "nats": "nats://" + nats}); err != nil {
		return err
	}
	return l.run()
}
