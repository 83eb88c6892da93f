package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"belfry/internal/app"
)

const verifyLong = `Tries to break what Belfry promises (docs/delivery.md), and says where it was broken.

It publishes, with acknowledgement and message id, and has clients of every dialect
that come and go, stop reading, and come back to any gateway with the position that
they have, or with none. When all is over it compares what was acknowledged with
what each client got.

--topology r1 or r3 starts a system on this machine, in a temporary directory, and
does harm to it, by a plan that follows from --seed: it kills gateways and NATS,
cuts and freezes lines, fills disks, purges and restores streams.

  r1   a gateway with NATS inside, and a second one that uses it
  r3   three nats-server processes, and three gateways

--gateway and --nats try a system of yours, and do nothing to it but publish and
connect. Users and channels are its own, named by the seed; what it publishes stays
in your streams as long as everything does. It answers authentication, unless a file
of --tokens says who is who.

The exit code is 1 where the promise was broken, or could not be tried.`

const verifyExample = `  belfry verify --duration 3m --seed 7
  belfry verify --topology r3 --nats-server ./nats-server --duration 3m
  belfry verify --nats nats://127.0.0.1:4222 --gateway http://127.0.0.1:6003 --duration 1m`

type verifying struct {
	opts     *options
	v        app.VerifyOptions
	topology string
	tokens   string
	quiet    bool
	json     bool
}

func verifyCommand() *cobra.Command {
	c := &verifying{}
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Try to break what Belfry promises",
		Long:    verifyLong,
		Example: verifyExample,
		Args:    exactly(),
	}
	c.opts = addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.topology, "topology", string(app.VerifyR1), "`what` to start and do harm to: r1 or r3")
	f.StringSliceVar(&c.v.Gateways, "gateway", nil, "`URL` of a gateway of yours, http://host:port, several by comma, instead of --topology")
	f.Uint64Var(&c.v.Seed, "seed", 0, "`number` that the plan follows from (default a new one, which is printed)")
	f.DurationVar(&c.v.Duration, "duration", time.Minute, "for how long to publish, and to do harm")
	f.IntVar(&c.v.Users, "users", 100, "how many `users`, with one to three clients each")
	f.IntVar(&c.v.Channels, "channels", 4, "how many shared `channels`")
	f.Float64Var(&c.v.Rate, "rate", 400, "publications a second")
	f.StringVar(&c.v.NATSServer, "nats-server", "nats-server", "r3: the nats-server `binary`")
	f.StringVar(&c.v.Dir, "dir", "", "`directory` for data and logs, which stay there (default a temporary one)")
	f.StringVar(&c.tokens, "tokens", "", "`file` of a token, a tab and a user id a line: a backend answers authentication")
	f.BoolVar(&c.quiet, "quiet", false, "do not tell what happens while it happens")
	f.BoolVar(&c.json, "json", false, "print the report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd) }
	return cmd
}

func (c *verifying) run(cmd *cobra.Command) error {
	o, err := c.opts.loadFor("nats", "subjects", "durable")
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("seed") {
		c.v.Seed = rand.Uint64() >> 32 // short enough to be typed
	}
	if c.topology != string(app.VerifyR1) && c.topology != string(app.VerifyR3) {
		return flagMistake("topology", fmt.Sprintf("is %q", c.topology), "write r1 or r3, or name gateways of yours with --gateway")
	}
	for _, u := range c.v.Gateways {
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
			return flagMistake("gateway", fmt.Sprintf("%q is no URL", u), "write http://host:port or https://host")
		}
	}
	nats := ""
	c.v.Topology = app.VerifyTopology(c.topology)
	if len(c.v.Gateways) > 0 {
		c.v.Topology = app.VerifyRemote
		if nats, err = natsURL(o); err != nil {
			return err
		}
	}
	outlivePipes()
	end, err := c.prepare()
	if err != nil {
		return err
	}
	defer end()
	c.v.Say = func(line string) {
		if !c.quiet {
			fmt.Fprintln(os.Stderr, line)
		}
	}
	fmt.Fprintf(os.Stderr, "topology %s, seed %d\n", c.v.Topology, c.v.Seed)
	ctx, stop := interruptible()
	defer stop()
	report, err := app.Verify(ctx, o, nats, c.v)
	return c.report(report, err)
}

// prepare finds what the topology needs. What it returns takes away what it
// made.
func (c *verifying) prepare() (end func(), err error) {
	end = func() {}
	if c.tokens != "" {
		if c.v.Topology != app.VerifyRemote {
			return end, flagMistake("tokens", "has no effect with --topology", "name your gateways with --gateway")
		}
		if c.v.Tokens, err = app.VerifyTokens(c.tokens); err != nil {
			return end, err
		}
	}
	if c.v.Topology == app.VerifyRemote {
		return end, nil
	}
	if c.v.Belfry, err = os.Executable(); err != nil {
		return end, fmt.Errorf("find this binary, to start gateways: %w", err)
	}
	if c.v.Topology == app.VerifyR3 {
		if c.v.NATSServer, err = exec.LookPath(c.v.NATSServer); err != nil {
			return end, flagMistake("nats-server", fmt.Sprintf("can't be run: %v", err), "install nats-server, or build it in Belfry's source with: go build -o nats-server github.com/nats-io/nats-server/v2")
		}
	}
	if c.v.Dir == "" {
		if c.v.Dir, err = os.MkdirTemp("", "belfry-verify-"); err != nil {
			return end, err
		}
		end = func() { _ = os.RemoveAll(c.v.Dir) }
	}
	return end, nil
}

func (c *verifying) report(r *app.VerifyReport, err error) error {
	if r == nil {
		return err
	}
	if c.json {
		text, failed := json.Marshal(r)
		if failed != nil {
			return fmt.Errorf("write the report as JSON: %w", failed)
		}
		fmt.Printf("%s\n", text)
	} else {
		r.Write(os.Stdout)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w (seed %d)", err, r.Seed)
	case !r.OK():
		return fmt.Errorf("the promise was broken (seed %d)", r.Seed)
	}
	return nil
}
