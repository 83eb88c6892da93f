package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"belfry/internal/config"
)

const checkLong = `Reads a configuration as "belfry serve" would, and says every mistake at once: the
key, where its value stands, and what to do. It connects to nothing; files that the
configuration names are looked at.

Where all is well it lists what differs from the defaults and where it comes from
(file and line, environment, flag). Secrets are not shown.

Exit codes: 0 valid, 2 not.`

const checkExample = `  belfry check --config /etc/belfry.yaml
  belfry check --config /etc/belfry.yaml --public :6003
  BELFRY_DRAIN=1m belfry check`

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check a configuration, without starting anything",
		Long:    checkLong,
		Example: checkExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		loaded, err := opts.load()
		if len(loaded.Warnings) > 0 {
			fmt.Fprintln(os.Stderr, "belfry: to be considered")
			printProblems(os.Stderr, loaded.Warnings)
		}
		if err != nil {
			return err
		}
		return printDifferences(loaded)
	}
	return cmd
}

func printDifferences(loaded config.Loaded) error {
	reloadable, restart := config.Changed(config.Default(), loaded.Options)
	if len(reloadable)+len(restart) == 0 {
		fmt.Println("configuration is valid; everything is at its default")
		return nil
	}
	fmt.Println("configuration is valid; this differs from the defaults:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, name := range append(reloadable, restart...) {
		k, _ := config.Lookup(name)
		text := k.Text(loaded.Options)
		if text == "" {
			text = "(empty)"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", name, text, loaded.Sources[name])
	}
	return w.Flush()
}
