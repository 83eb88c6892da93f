package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/position"
)

const listenLong = `Prints what arrives for a user or on a channel, one publication a line, on standard
output. What happens meanwhile is told on standard error. Ctrl-C ends it.

With --user or --channel it reads the stream in NATS, from --since on, whatever
gateways there are: what an operator wants to see. Whoever may do that may read
everything. When it ends it prints the position to go on from; --positions prints
the one behind each publication, and a tab, in front of it. It follows NATS
through restarts, says when the stream's epoch has changed, and does not see what
is not stored (live.<name>, notification_<user>, durable: false). NATS is found as
"belfry publish" finds it.

With --token it connects to a gateway as a client does (dialect messagechannel),
and ends when the connection does, with the reason. The token is the user's, as
the backend made it. A token on the command line can be read by other users of
this machine: "--token -" reads a line from standard input instead. The gateway
is found at --url, else in the addresses.json that a running one wrote to --data.`

const listenExample = `  belfry listen --user 42
  belfry listen --channel orders.eu --since all
  belfry listen --user 42 --positions --since n-c1x9-7x
  belfry listen --token '57uiWCKp/44wImihy0C9+g=='
  belfry listen --url wss://push.example.com/ --token - < token.txt`

type listening struct {
	opts                 *options
	user, channel, since string
	positions            bool
	token, url           string
}

func listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "listen {--user USER | --channel NAME | --token TOKEN}",
		Short:   "Print what arrives for a user or on a channel",
		Long:    listenLong,
		Example: listenExample,
		Args:    exactly(),
	}
	l := &listening{}
	l.opts = addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	cmd.Flags().StringVar(&l.user, "user", "", "`id` of the user whose personal channel to read")
	cmd.Flags().StringVar(&l.channel, "channel", "", "`name` of the channel to read")
	cmd.Flags().StringVar(&l.since, "since", "now", "where to begin: a `position`, now, or all that is retained")
	cmd.Flags().BoolVar(&l.positions, "positions", false, "print the position behind each publication too")
	cmd.Flags().StringVar(&l.token, "token", "", "a user's `token`, or - for a line from standard input")
	cmd.Flags().StringVar(&l.url, "url", "", "with --token, `URL` of the gateway, ws:// or wss:// (default as it wrote to --data)")
	cmd.MarkFlagsOneRequired("user", "channel", "token")
	cmd.MarkFlagsMutuallyExclusive("user", "channel", "token")
	for _, flag := range []string{"since", "positions", "nats", "prefix"} {
		cmd.MarkFlagsMutuallyExclusive("token", flag)
	}
	cmd.MarkFlagsMutuallyExclusive("url", "user")
	cmd.MarkFlagsMutuallyExclusive("url", "channel")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := interruptible()
		defer stop()
		if cmd.Flags().Changed("token") {
			return l.asClient(ctx)
		}
		return l.fromStream(ctx)
	}
	return cmd
}

// fromStream reads a channel straight from NATS.
func (l *listening) fromStream(ctx context.Context) error {
	channel, err := channelOf(l.channel, []string{l.user})
	if err != nil {
		return err
	}
	if l.since != "now" && l.since != "all" {
		p, err := position.Parse(l.since)
		if err != nil {
			return flagMistake("since", fmt.Sprintf("is %q: %v", l.since, err), "take a position as \"belfry publish\" prints it, or now, or all")
		}
		if p.Get(position.Of(channel)) == (position.Mark{}) {
			return flagMistake("since", fmt.Sprintf("is %q, which is of another stream than that of %s", l.since, channel), "take the position of a publication for a user with --user, on another channel with --channel")
		}
	}
	o, url, err := l.opts.toNATS()
	if err != nil {
		return err
	}
	return app.Follow(ctx, o, url, app.Following{
		Channel: channel,
		Since:   l.since,
		Out: func(position string, payload []byte) {
			if l.positions {
				payload = slices.Concat([]byte(position), []byte{'\t'}, payload)
			}
			printLine(payload)
		},
		Status: printStatus,
	})
}

// asClient is a client of a gateway.
func (l *listening) asClient(ctx context.Context) error {
	if l.token == "" {
		return flagMistake("token", "is empty", "give the user's token, or - to read it from standard input")
	}
	url, token := l.url, l.token
	if url != "" && !strings.HasPrefix(url, "ws://") && !strings.HasPrefix(url, "wss://") {
		return flagMistake("url", fmt.Sprintf("is %q", url), "write ws://host:port/ or wss://host/")
	}
	o, err := l.opts.loadFor()
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
	return app.Listen(ctx, url, token, printLine, printStatus)
}

func printStatus(s string) { fmt.Fprintln(os.Stderr, s) }

// printLine writes a message and its newline in one call, for a pipe's reader.
func printLine(line []byte) { os.Stdout.Write(append(line[:len(line):len(line)], '\n')) }
