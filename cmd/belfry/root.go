package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"belfry/internal/config"
)

// Exit codes.
const (
	exitFailed  = 1 // what was asked for did not work out
	exitMistake = 2 // the command line or the configuration is wrong
)

const rootLong = `Belfry is a gateway for real-time notifications.

Browsers and apps hold a connection to it and send a token; it asks the backend
over NATS who that is; what the backend then publishes for a user on NATS
reaches all of that user's connections at once. NATS is inside, or a server or
cluster of your own.

Begin with

  belfry demo

and open the address that it prints.

Every option can stand in a file (--config FILE; belfry.yaml, beside the source,
is the manual of them all), in the environment (nats.prefix is
BELFRY_NATS_PREFIX, lists by comma), and the main ones as flags. A flag wins over
the environment, the environment over the file, the file over the default.

Exit codes: 0 done, 1 failed, 2 a mistake in the command line or configuration.`

// run is the whole program but the process: it returns the exit code.
func run(args []string) int {
	started := false // an error before that is about the command line
	root := &cobra.Command{
		Use:               "belfry",
		Short:             "A gateway for real-time notifications",
		Long:              rootLong,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateFlagGroups(); err != nil { // which cobra does later
				return err
			}
			started = true
			return nil
		},
	}
	root.SetArgs(args)
	root.SetFlagErrorFunc(meant)
	root.AddCommand(serveCommand(), steppedCommand(), demoCommand(), publishCommand(), listenCommand(), benchCommand(), verifyCommand(), subjectCommand(),
		epochCommand(), backupCommand(), restoreCommand(), checkCommand(), versionCommand())
	cmd, err := root.ExecuteC()
	switch {
	case err == nil:
		return 0
	case !started:
		fmt.Fprintf(os.Stderr, "belfry: %v\nTry: %s --help\n", err, cmd.CommandPath())
		return exitMistake
	}
	return report(os.Stderr, err)
}

// report prints what went wrong and returns the exit code for it.
func report(w io.Writer, err error) int {
	var mistakes config.Problems
	if errors.As(err, &mistakes) {
		printMistakes(w, mistakes)
		return exitMistake
	}
	if !errors.Is(err, errQuiet) {
		fmt.Fprintf(w, "belfry: %v\n", err)
	}
	return exitFailed
}

// errQuiet ends a command whose failure has been told already.
var errQuiet = errors.New("told already")

func printMistakes(w io.Writer, mistakes config.Problems) {
	n := fmt.Sprintf("%d mistakes", len(mistakes))
	if len(mistakes) == 1 {
		n = "1 mistake"
	}
	fmt.Fprintf(w, "belfry: %s\n", n)
	printProblems(w, mistakes)
}

// printProblems prints two lines each: what is wrong, and what to do.
func printProblems(w io.Writer, problems config.Problems) {
	for _, p := range problems {
		remedy := p.Remedy
		p.Remedy = ""
		fmt.Fprintf(w, "  %s\n", p)
		if remedy != "" {
			fmt.Fprintf(w, "      %s\n", remedy)
		}
	}
}
