package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const epochLong = `A client's position is an epoch and a sequence of a stream. The epoch says which
history of the stream the sequence is of.`

const rotateLong = `Gives the streams another epoch, after one was restored from a copy: sequences that
were given out since the copy was made are given out again, for other messages, and
a client that comes back with an old position must not take them for its own. Every
such client is told to reset, and is sent what there is. Running gateways see it
within 10 seconds.

Do it right after the restore, before anything is published. Messages and settings
stay as they are; only the stream's metadata (belfry_epoch) is changed, whatever
stream.manage says. A gateway that runs while a stream is restored can find out by
itself and does the same, but none can that was not running.

STREAM is notifications (the personal channels) or channels (all others); both if
none is named. NATS is found as "belfry publish" finds it. It prints each stream
and its new epoch.`

const rotateExample = `  belfry epoch rotate
  belfry epoch rotate notifications
  belfry epoch rotate --nats nats://10.0.0.5:4222 --prefix acme`

// rotateFor bounds "belfry epoch rotate".
const rotateFor = 20 * time.Second

func epochCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "epoch",
		Short: "What to do after a stream was restored from a copy",
		Long:  epochLong,
		Args:  exactly(),
	}
	cmd.AddCommand(rotateCommand())
	return cmd
}

func rotateCommand() *cobra.Command {
	streams := []string{"notifications", "channels"}
	cmd := &cobra.Command{
		Use:     "rotate [STREAM]",
		Short:   "Have every client that comes back with an older position told to reset",
		Long:    rotateLong,
		Example: rotateExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && !slices.Contains(streams, args[0]) {
				return fmt.Errorf("STREAM is %q, not notifications or channels", args[0])
			}
			return cobra.MaximumNArgs(1)(cmd, args)
		},
	}
	opts := addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		o, url, err := opts.toNATS()
		if err != nil {
			return err
		}
		ctx, stop := interruptible()
		defer stop()
		ctx, cancel := context.WithTimeout(ctx, rotateFor)
		defer cancel()
		rotated, err := app.RotateEpochs(ctx, o, url, args...)
		for _, r := range rotated {
			fmt.Printf("rotated stream=%s epoch=%s\n", r.Stream, r.Epoch)
		}
		return err
	}
	return cmd
}
