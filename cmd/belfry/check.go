package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/config"
)

const checkLong = `Reads a configuration as "belfry serve" would, and says every mistake at once: the
key, where its value stands, and what to do. It connects to nothing; files that the
configuration names are looked at.

Where all is well it lists what differs from the defaults and where it comes from
(file and line, environment, flag). Secrets are not shown.

With --rate, and --size for another size than 128 bytes, it says how long
stream.max_bytes lasts, and whether age or bytes will evict.

With --connect it then connects to NATS as the gateway would, to the one configured
or else to that of the running gateway, and tries everything that a gateway needs
there. Each right that the user lacks is named, with the reason and a remedy. It
stores nothing and changes nothing. A backend that listens is asked about one token
and one channel, both called "belfry-check". It takes a few seconds, and at most 20.

With --permissions it prints the rights of a gateway's and of a backend's NATS user
for this configuration, as nats-server's configuration has them, and connects to
nothing.

Exit codes: 0 valid, 1 --connect found something missing or NATS could not be
reached, 2 not valid.`

const checkExample = `  belfry check --config /etc/belfry.yaml
  belfry check --config /etc/belfry.yaml --public :6003
  belfry check --config /etc/belfry.yaml --rate 20
  belfry check --config /etc/belfry.yaml --connect
  belfry check --config /etc/belfry.yaml --permissions > belfry-users.conf
  BELFRY_DRAIN=1m belfry check`

type checking struct {
	opts                 *options
	connect, permissions bool
	rate                 float64
	size                 int
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check a configuration, or what NATS allows, without starting anything",
		Long:    checkLong,
		Example: checkExample,
		Args:    exactly(),
	}
	c := &checking{opts: addOptions(cmd)}
	cmd.Flags().BoolVar(&c.connect, "connect", false, "try on NATS what a gateway needs there")
	cmd.Flags().Float64Var(&c.rate, "rate", 0, "say how long stream.max_bytes lasts at `MESSAGES` a second")
	cmd.Flags().IntVar(&c.size, "size", 128, "their size in `BYTES`")
	cmd.Flags().BoolVar(&c.permissions, "permissions", false, "print the rights that NATS users need")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) }
	return cmd
}

func (c *checking) run(ctx context.Context) error {
	if c.connect && c.permissions {
		return flagMistake("permissions", "stands beside --connect", "leave one of the two away")
	}
	loaded, err := c.opts.load()
	if len(loaded.Warnings) > 0 {
		fmt.Fprintln(os.Stderr, "belfry: to be considered")
		printProblems(os.Stderr, loaded.Warnings)
	}
	switch {
	case err != nil:
		return err
	case c.permissions:
		fmt.Print(app.Permissions(loaded.Options))
		return nil
	}
	if err := printDifferences(loaded); err != nil {
		return err
	}
	if c.rate > 0 {
		fmt.Println(lasts(loaded.Options.Stream, c.rate, c.size))
	}
	if !c.connect {
		return nil
	}
	return checkNATS(ctx, loaded.Options)
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

// overhead is what NATS stores of a message beside its payload: the record's
// head, subject, message id and checksum: an estimate, by which 1 GiB takes about
// 4.5 million messages of 128 bytes.
const overhead = 110

// lasts says which of a stream's two bounds is reached first.
func lasts(s config.Stream, rate float64, size int) string {
	const day = 24 * time.Hour
	held := float64(s.MaxBytes) / float64(size+overhead)
	full := time.Duration(min(held/rate, (100*365*day).Seconds()) * float64(time.Second))
	text := fmt.Sprintf("stream.max_bytes holds about %.0f messages of %d bytes in each stream: %s at %g a second", held, size, roughly(full), rate)
	if full < s.MaxAge {
		return text + fmt.Sprintf(".\nThat is less than stream.max_age (%s): bytes will evict what is younger. Raise stream.max_bytes to keep it for as long.", roughly(s.MaxAge))
	}
	return text + fmt.Sprintf(".\nstream.max_age (%s) is reached before it.", roughly(s.MaxAge))
}

// roughly is a duration as people say it.
func roughly(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}
