package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/subject"
)

const publishLong = `Publishes for a user, or on another channel with --channel, and returns when NATS
has stored it.

USER is the id that the backend's authentication returns. DATA is sent as it is,
byte by byte; "-" reads it from standard input.

Until NATS acknowledges, it tries again with the same id, for --timeout. A stream
keeps one message of an id and channel, so a retry never shows twice; that holds
for --id too, and for a backend or the API that uses the same id, in the two
minutes of the stream's duplicate window. After a failure it may have been stored
or not: the error has the --id that tries again as the same message.

It finds NATS at --nats (or nats.url), else in the addresses.json that a running
gateway wrote to --data. With a prefix, or with a user and password of NATS, give
it the gateway's configuration: --config, or the same BELFRY_ variables.

It prints subject, stream, sequence, id, and the position behind the publication,
as "belfry listen --since" takes it.`

const publishExample = `  belfry publish 1 'hello'
  belfry publish --id order-1001 42 '{"order":1001}'
  belfry publish --channel orders.eu --ttl 1h '{"order":1001}'
  date | belfry publish 1 -
  belfry publish --nats nats://127.0.0.1:4222 --prefix acme 42 'hello'`

type publishing struct {
	opts    *options
	what    app.Publication
	timeout time.Duration
}

func publishCommand() *cobra.Command {
	p := &publishing{}
	cmd := &cobra.Command{
		Use:     "publish {USER | --channel NAME} DATA",
		Short:   "Publish for a user, or on a channel",
		Long:    publishLong,
		Example: publishExample,
		Args:    userOrChannel(&p.what.Channel, "DATA"),
	}
	p.opts = addOptions(cmd, "nats", "prefix", "data")
	natsFlags(cmd)
	cmd.Flags().StringVar(&p.what.Channel, "channel", "", "`name` of a channel, instead of USER")
	cmd.Flags().StringVar(&p.what.ID, "id", "", "`id` of the message, the same for a retry (default a fresh one)")
	cmd.Flags().DurationVar(&p.what.TTL, "ttl", 0, "for how long it is kept, as 90s or 1h (default as long as the stream keeps it)")
	cmd.Flags().DurationVar(&p.timeout, "timeout", 10*time.Second, "how long to try, as 500ms or 1m")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return p.run(args) }
	return cmd
}

func (p *publishing) run(args []string) (err error) {
	if p.timeout <= 0 {
		return flagMistake("timeout", "is not above 0", "write a duration, as 10s")
	}
	if p.what.TTL < 0 || p.what.TTL%time.Second != 0 {
		return flagMistake("ttl", fmt.Sprintf("is %v, not whole seconds from 1 up", p.what.TTL), "write a duration, as 90s")
	}
	if p.what.ID == "" {
		p.what.ID = rand.Text()
	}
	if err := subject.CheckMessageID(p.what.ID); err != nil {
		return flagMistake("id", fmt.Sprintf("%q: %v", p.what.ID, err), "take another id")
	}
	if p.what.Channel, err = channelOf(p.what.Channel, args); err != nil {
		return err
	}
	o, err := p.opts.loadFor("nats", "subjects", "durable")
	if err != nil {
		return err
	}
	if p.what.Data, err = dataOf(args[len(args)-1]); err != nil {
		return err
	}
	url, err := natsURL(o)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	got, err := app.Publish(ctx, o, url, p.what)
	if err != nil {
		return p.failed(ctx, err, got.Subject != "")
	}
	fmt.Println(receipt(got))
	if got.Unknown != nil {
		fmt.Fprintf(os.Stderr, "belfry: it is stored, and its position is not known: %v\n", got.Unknown)
	}
	return nil
}

// dataOf is what to publish.
func dataOf(arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read the data from standard input: %w", err)
	}
	return data, nil
}

// failed is what a person is told. tried says that it may have been sent.
func (p *publishing) failed(ctx context.Context, err error, tried bool) error {
	again := fmt.Sprintf("Try again with --id %s, within two minutes it can't arrive twice.", shellWord(p.what.ID))
	if ctx.Err() == nil {
		if tried {
			err = fmt.Errorf("%w\nIt may be stored or not. %s", err, again)
		}
		return fmt.Errorf("%w\nDoes the gateway use the same configuration? (--config, --prefix, or the same BELFRY_ variables; a user needs nats.user and nats.password)", err)
	}
	why := "was interrupted"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		why = fmt.Sprintf("had no acknowledgement within %s (--timeout)", p.timeout)
	}
	return fmt.Errorf("publish %s; it may be stored or not: %w\n%s Is NATS there, has it JetStream, and is the --prefix the gateway's?", why, err, again)
}

// receipt is one line: where it went and what to call it.
func receipt(r app.Receipt) string {
	line := fmt.Sprintf("published subject=%s stream=%s sequence=%d", r.Subject, r.Stream, r.Seq)
	if r.Position != "" {
		line += " position=" + r.Position
	}
	line += " id=" + r.ID
	if r.Duplicate {
		line += " (a duplicate: this id was stored before)"
	}
	return line
}
