package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/config"
)

const demoLong = `Runs everything on one machine: a gateway, NATS with JetStream inside, an example
backend, and a page in which two users see their notifications arrive.

It prints the address to open, and a line that publishes from a second terminal.
Ctrl-C ends it. What it stores is in a temporary directory and goes with it,
unless --data names one. It takes the options of "belfry serve"; clients are
closed at once when it ends (drain and drain_delay are 0).

The example backend's key is known to everyone, so --public has to stay on this
machine.`

const demoExample = `  belfry demo
  belfry demo --public 127.0.0.1:8080
  belfry demo --public 127.0.0.1:0 --internal 127.0.0.1:0 --nats-listen 127.0.0.1:0`

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Run gateway, NATS, example backend and demo page, to look at",
		Long:    demoLong,
		Example: demoExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd, "public", "internal", "nats", "nats-listen", "prefix", "data", "durable", "log-format", "log-level")
	cmd.Flags().Lookup("data").DefValue = "a temporary one"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return demo(opts) }
	return cmd
}

func demo(opts *options) error {
	opts.force["demo"], opts.force["drain"], opts.force["drain_delay"] = "true", "0s", "0s"
	loaded, err := opts.load()
	if err != nil {
		return err
	}
	if loaded.Sources["data"] == "" {
		dir, err := os.MkdirTemp("", "belfry-demo-")
		if err != nil {
			return fmt.Errorf("make a directory for the demo's data (--data names another): %w", err)
		}
		defer os.RemoveAll(dir)
		opts.force["data"], loaded.Options.Data = dir, dir
	}
	d := newDaemon(opts, loaded)
	d.ready = func(a app.Addresses) { fmt.Print(demoText(opts.file, loaded.Options, a)) }
	return d.run()
}

// demoText is what a newcomer reads. Its commands work as they stand in a
// second terminal in the same directory.
func demoText(file string, o config.Options, a app.Addresses) string {
	publish := ""
	if o.Durable { // else no stream acknowledges
		publish = fmt.Sprintf("\nOr publish for user 1 from a second terminal:\n\n  %s publish%s 1 'hello'\n", shellWord(os.Args[0]), clientFlags(file, o))
	}
	return fmt.Sprintf(`
Belfry is running. Open

  http://%s/

connect a user on the page, and publish there.
%s
Ctrl-C ends the demo.

`, a.Public, publish)
}

// clientFlags is what "publish" needs to find this gateway and its subjects.
func clientFlags(file string, o config.Options) string {
	flags := ""
	if path, err := filepath.Abs(file); err == nil && file != "" {
		flags += " --config " + shellWord(path)
	}
	if dir, err := filepath.Abs(o.Data); err == nil && o.Data != config.Default().Data {
		flags += " --data " + shellWord(dir)
	}
	if o.NATS.Prefix != "" {
		flags += " --prefix " + o.NATS.Prefix
	}
	return flags
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// shellWord quotes a word for a POSIX shell where it needs that.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
