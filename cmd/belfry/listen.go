package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const listenLong = `Connects to a gateway as a client does (dialect messagechannel), sends the token,
and prints each notification as it arrives, one a line, on standard output. What
happens to the connection is told on standard error. It ends when the connection
does, with the reason, or with Ctrl-C.

The token is the user's, as the backend made it. A token on the command line can
be read by other users of this machine: "--token -" reads a line from standard
input instead.

It finds the gateway at --url, else in the addresses.json that a running one
wrote to --data.`

const listenExample = `  belfry listen --token '57uiWCKp/44wImihy0C9+g=='
  belfry listen --url wss://push.example.com/ --token - < token.txt`

func listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "listen --token TOKEN",
		Short:   "Print what arrives for a user",
		Long:    listenLong,
		Example: listenExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd, "data")
	cmd.Flags().Lookup("data").Usage = "`directory` of the running gateway, for its addresses.json"
	token := cmd.Flags().String("token", "", "the user's `token`, or - for a line from standard input")
	url := cmd.Flags().String("url", "", "`URL` of the gateway, ws:// or wss:// (default as it wrote to --data)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return listen(opts, *token, *url) }
	return cmd
}

func listen(opts *options, token, url string) error {
	if token == "" {
		return flagMistake("token", "is missing", "give the user's token, or - to read it from standard input")
	}
	if url != "" && !strings.HasPrefix(url, "ws://") && !strings.HasPrefix(url, "wss://") {
		return flagMistake("url", fmt.Sprintf("is %q", url), "write ws://host:port/ or wss://host/")
	}
	o, err := opts.loadFor()
	if err != nil {
		return err
	}
	if token == "-" {
		if token, err = bufio.NewReader(os.Stdin).ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the token from standard input: %w", err)
		}
		token = strings.TrimSpace(token)
	}
	if url == "" {
		a, err := addresses(o.Data, "name it with --url ws://host:6003/")
		if err != nil {
			return err
		}
		url = a.Public
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return app.Listen(ctx, url, token, printLine, func(s string) { fmt.Fprintln(os.Stderr, s) })
}

// printLine writes a message and its newline in one call, for a pipe's reader.
func printLine(line []byte) { os.Stdout.Write(append(line[:len(line):len(line)], '\n')) }
