package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"belfry/internal/app"
	"belfry/internal/config"
)

// checkFor bounds "belfry check --connect".
const checkFor = 20 * time.Second

// checkNATS prints what NATS allows, and fails where that is too little.
func checkNATS(ctx context.Context, o config.Options) error {
	url, err := natsURL(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	f, err := app.CheckNATS(ctx, o, url)
	if err != nil {
		return fmt.Errorf("%w\nIs NATS there, and are the address and the credentials (nats.user, nats.credentials or nats.nkey) right?", err)
	}
	printFinding(f)
	if f.Lacks() {
		return errQuiet
	}
	return nil
}

func printFinding(f app.Finding) {
	if len(f.Missing) == 0 {
		fmt.Printf("NATS at %s: the %d permissions that a gateway needs are there\n", f.NATS, f.Tried)
	} else {
		fmt.Printf("NATS at %s: %d of the %d permissions that a gateway needs are missing\n", f.NATS, len(f.Missing), f.Tried)
		printGrants(f.Missing)
		fmt.Println(`Give them to the user that the gateway connects as: "belfry check --permissions" prints the whole of them.`)
	}
	if len(f.Silent) > 0 {
		fmt.Printf("%d were not refused, and nobody answered: is JetStream electing a leader, does something on the way (a leaf node, an account's import) hold them back?\n", len(f.Silent))
		printGrants(f.Silent)
	}
	for _, s := range f.Says {
		fmt.Println(s)
	}
	if f.Trouble != nil {
		fmt.Println("a gateway would not get ready:", f.Trouble)
	}
}

// printGrants prints two or three lines each: the right by its name, what it is
// for, and what to do without.
func printGrants(all []app.Grant) {
	for _, g := range all {
		fmt.Printf("  %s %q\n      %s\n", g.Action, g.Subject, g.Why)
		if g.Without != "" {
			fmt.Printf("      %s\n", g.Without)
		}
	}
}
