package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const subjectLong = `Prints the NATS subject that a backend publishes to, for a user or, with --channel,
on another channel. It connects to nothing.

An id stands in a subject as it is where it consists of A-Z, a-z, 0-9, _ and -,
and else as "=" and its base64url without padding; in a channel's name that holds
for each part between dots, and : stands as well. Only this spelling is delivered.
With a prefix or renamed subjects, give it the gateway's configuration: --config,
or the same BELFRY_ variables.`

const subjectExample = `  belfry subject 42
  belfry subject a.b@c.d
  belfry subject --channel chat:7 --prefix acme`

func subjectCommand() *cobra.Command {
	channel := ""
	cmd := &cobra.Command{
		Use:     "subject {USER | --channel NAME}",
		Short:   "Print the subject of a user or a channel",
		Long:    subjectLong,
		Example: subjectExample,
		Args:    userOrChannel(&channel),
	}
	opts := addOptions(cmd, "prefix")
	cmd.Flags().StringVar(&channel, "channel", "", "`name` of a channel, instead of USER")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name, err := channelOf(channel, args)
		if err != nil {
			return err
		}
		o, err := opts.loadFor("nats.prefix", "subjects")
		if err != nil {
			return err
		}
		subject, err := app.Subject(o, name)
		if err != nil {
			return err
		}
		fmt.Println(subject)
		return nil
	}
	return cmd
}
