package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const backupLong = `Writes what Belfry keeps in NATS, both streams and the delivered cursors, into one
new file, a tar with checksums. Gateways and backends go on meanwhile; what is
published after a stream's copy was begun is not in it.

The file appears under its name when all of it is on disk. It has what was
published, so it is readable by you alone. The configuration is not in it.

NATS is found as "belfry publish" finds it: --nats or nats.url, else the
addresses.json that a running gateway wrote to --data. It prints each stream.`

const backupExample = `  belfry backup --to belfry.tar
  belfry backup --nats nats://10.0.0.5:4222 --prefix acme --to acme.tar`

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "backup --to FILE",
		Short:   "Copy what is stored into a file",
		Long:    backupLong,
		Example: backupExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	to := cmd.Flags().String("to", "", "the `file` to write, which must not exist yet")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *to == "" {
			return flagMistake("to", "is missing", "name the file to write")
		}
		o, url, err := opts.toNATS()
		if err != nil {
			return err
		}
		outlivePipes()
		ctx, stop := interruptible()
		defer stop()
		err = app.Backup(ctx, o, url, *to, func(s app.BackedUp) {
			fmt.Printf("copied stream=%s messages=%d last=%d bytes=%d\n", s.Stream, s.Messages, s.Last, s.Bytes)
		})
		if err != nil {
			return err
		}
		fmt.Printf("written file=%s\n", *to)
		return nil
	}
	return cmd
}

const restoreLong = `Makes the streams and the delivered cursors from a file that "belfry backup" wrote.
The file is read to its end and checked before anything is touched.

Streams that exist are left alone, and then nothing is done, unless --replace is
given: it deletes them, with all that they have, and puts the copies in their place.

Each restored stream has another epoch, as after "belfry epoch rotate": clients
that come back with an older position are told to reset, and are sent what there
is. Delivered cursors stay valid, so that users without a position go on where they
were when the copy was made.

Stop the gateways before, and start them again behind it. With a NATS that runs in
its gateway, that one has to run: keep clients away from it meanwhile.
docs/backup.md has it step by step.

NATS is found as "belfry publish" finds it. It prints each stream.`

const restoreExample = `  belfry restore --from belfry.tar
  belfry restore --from belfry.tar --replace
  belfry restore --nats nats://10.0.0.5:4222 --prefix acme --from acme.tar`

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "restore --from FILE",
		Short:   "Put back what belfry backup has copied",
		Long:    restoreLong,
		Example: restoreExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	from := cmd.Flags().String("from", "", "the `file` to read")
	replace := cmd.Flags().Bool("replace", false, "delete the streams that there are")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *from == "" {
			return flagMistake("from", "is missing", "name the file that belfry backup wrote")
		}
		o, url, err := opts.toNATS("stream")
		if err != nil {
			return err
		}
		outlivePipes()
		ctx, stop := interruptible()
		defer stop()
		return app.Restore(ctx, o, url, *from, *replace, func(s app.Restored) {
			fmt.Println(restored(s))
		})
	}
	return cmd
}

// restored is one line.
func restored(s app.Restored) string {
	line := fmt.Sprintf("restored stream=%s messages=%d last=%d", s.Stream, s.Messages, s.Last)
	if s.Epoch != "" {
		return line + " epoch=" + s.Epoch
	}
	line += fmt.Sprintf(" cursors=%d", s.Kept)
	if s.Dropped > 0 {
		line += fmt.Sprintf(" dropped=%d (of another epoch, ahead of the copy, or not readable: their users begin as without one)", s.Dropped)
	}
	return line
}
