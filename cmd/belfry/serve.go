package main

import (
	"github.com/spf13/cobra"
)

const serveLong = `Runs a gateway until it is told to stop.

Without --nats a NATS with JetStream runs inside, its store in --data, and the
backend connects to it at --nats-listen. With --nats the gateway uses that server
or cluster; more gateways can then stand beside it.

The log goes to standard error. It names the addresses, and once the gateway is
ready they are in addresses.json in the data directory, where "belfry publish"
and "belfry listen" find them.

Signals:
  SIGTERM   stop: not ready, wait drain_delay for the load balancer, close the
            clients over drain with a code that means "come back", stop
  SIGINT    stop at once (Ctrl-C)
  SIGHUP    read the configuration again; the log says what was taken over and
            what needs a restart, and everything stays as it was if it is wrong
A second SIGTERM or SIGINT ends the process without waiting for anything.

--help names the main options; belfry.yaml, beside the source, has every one.`

const serveExample = `  belfry serve
  belfry serve --data /var/lib/belfry --log-format json
  belfry serve --nats nats://10.0.0.5:4222,nats://10.0.0.6:4222 --public :6003
  belfry serve --config /etc/belfry.yaml
  BELFRY_NATS_PREFIX=acme belfry serve --public 127.0.0.1:0`

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a gateway",
		Long:    serveLong,
		Example: serveExample,
		Args:    exactly(),
	}
	opts := addOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := opts.load()
		if err != nil {
			return err
		}
		return newDaemon(opts, loaded).run()
	}
	return cmd
}
