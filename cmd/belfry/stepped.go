package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const steppedLong = `Runs a gateway as "belfry serve" does, whose clock is wrong by OFF, and then by what
each line of standard input says, such as "-1h30m", while the machine's is right.
It is what "belfry verify" starts, and of no use to anybody else.`

// steppedCommand is serve for the verifier. It is not shown.
func steppedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve-stepped OFF",
		Short:   "Run a gateway with a clock that steps",
		Long:    steppedLong,
		Example: `  belfry serve-stepped 0s`,
		Args:    exactly("OFF"),
		Hidden:  true,
	}
	opts := addOptions(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		loaded, err := opts.load()
		if err != nil {
			return err
		}
		d := newDaemon(opts, loaded)
		if err := app.StepClock(strings.NewReader(args[0]), d.log); err != nil {
			return err
		}
		go func() {
			if err := app.StepClock(os.Stdin, d.log); err != nil {
				d.log.Error("the clock is not stepped any more", "err", err)
			}
		}()
		return d.run()
	}
	return cmd
}
