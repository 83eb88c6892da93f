package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/config"
	"belfry/internal/subject"
)

// addresses reads where the gateway with this data directory is.
func addresses(dir, otherwise string) (app.Addresses, error) {
	a, err := app.ReadAddresses(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no gateway has left its addresses in %s: start one with \"belfry serve\" or \"belfry demo\", name its directory with --data, or %s",
			filepath.Join(dir, "addresses.json"), otherwise)
	}
	return a, err
}

// natsURL is where NATS is: "" where o names it, else as the gateway wrote.
func natsURL(o config.Options) (string, error) {
	if len(o.NATS.URL) > 0 {
		return "", nil
	}
	a, err := addresses(o.Data, "name NATS with --nats nats://host:4222")
	return a.NATS, err
}

// toNATS is loadFor for a command that reaches NATS, and where that is: "" where
// the options name it. more are keys that it uses besides.
func (o *options) toNATS(more ...string) (loaded config.Options, url string, err error) {
	loaded, err = o.loadFor(append([]string{"nats", "subjects", "durable"}, more...)...)
	if err == nil {
		url, err = natsURL(loaded)
	}
	return loaded, url, err
}

// interruptible ends when somebody asks the process to, or the terminal is gone,
// unless that is ignored, as nohup has it.
func interruptible() (context.Context, context.CancelFunc) {
	ask := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ask = append(ask, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), ask...)
}

// outlivePipes has a write to standard output or error fail whose reader is gone,
// as a tee that got the same Ctrl-C. Else it ends the process on the spot: that is
// right for who only prints, and not for who holds something. What it says is
// then said to nobody.
func outlivePipes() { signal.Ignore(syscall.SIGPIPE) }

// natsFlags says what --nats and --data are to a command that connects to NATS.
func natsFlags(cmd *cobra.Command) {
	cmd.Flags().Lookup("nats").Usage = "`URL` of NATS, several by comma; empty: as the gateway wrote to --data"
	cmd.Flags().Lookup("data").Usage = "`directory` of the running gateway, for its addresses.json"
}

// userOrChannel is exactly(USER, more...), or exactly(more...) where --channel
// is given.
func userOrChannel(channel *string, more ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if *channel == "" {
			return exactly(append([]string{"USER"}, more...)...)(cmd, args)
		}
		if len(args) == len(more)+1 {
			return fmt.Errorf("both USER %q and --channel are given: take one", args[0])
		}
		return exactly(more...)(cmd, args)
	}
}

// channelOf is the channel that --channel names, or USER, which is args[0], the
// personal channel of.
func channelOf(channel string, args []string) (string, error) {
	if channel == "" {
		if _, err := subject.EncodeUser(args[0]); err != nil {
			return "", flagMistake("USER", fmt.Sprintf("%q: %v", args[0], err), "name the user as authentication does")
		}
		return "#" + args[0], nil
	}
	if err := subject.CheckChannel(channel); err != nil {
		return "", flagMistake("channel", fmt.Sprintf("%q: %v", channel, err), "name a channel as clients do, as orders.eu")
	}
	return channel, nil
}
