package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"belfry/internal/app"
	"belfry/internal/config"
	"belfry/internal/subject"
)

const publishLong = `Publishes a notification for a user, and returns when NATS has stored it.

USER is the id that the backend's authentication returns. DATA is sent as it is,
byte by byte; "-" reads it from standard input.

Until NATS acknowledges, it tries again with the same id, for --timeout. NATS keeps
one message of an id, so a retry never shows twice; the same holds for --id, in
the two minutes of the stream's duplicate window. After a failure the
notification may have been stored or not: the error has the command that tries
again with the same id.

It finds NATS at --nats (or nats.url), else in the addresses.json that a running
gateway wrote to --data. With a prefix, or with a user and password of NATS, give
it the gateway's configuration: --config, or the same BELFRY_ variables.

It prints subject, stream, sequence and id.`

const publishExample = `  belfry publish 1 'hello'
  belfry publish --id order-1001 42 '{"order":1001}'
  date | belfry publish 1 -
  belfry publish --nats nats://127.0.0.1:4222 --prefix acme 42 'hello'`

type publishing struct {
	opts    *options
	id      string
	timeout time.Duration
}

func publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "publish USER DATA",
		Short:   "Publish a notification for a user",
		Long:    publishLong,
		Example: publishExample,
		Args:    exactly("USER", "DATA"),
	}
	p := &publishing{}
	p.opts = addOptions(cmd, "nats", "prefix", "data")
	cmd.Flags().Lookup("nats").Usage = "`URL` of NATS, several by comma; empty: as the gateway wrote to --data"
	cmd.Flags().Lookup("data").Usage = "`directory` of the running gateway, for its addresses.json"
	cmd.Flags().StringVar(&p.id, "id", "", "`id` of the message, the same for a retry (default a fresh one)")
	cmd.Flags().DurationVar(&p.timeout, "timeout", 10*time.Second, "how long to try, as 500ms or 1m")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return p.run(args[0], args[1]) }
	return cmd
}

func (p *publishing) run(user, data string) error {
	if p.timeout <= 0 {
		return flagMistake("timeout", "is not above 0", "write a duration, as 10s")
	}
	if _, err := subject.EncodeUser(user); err != nil {
		return flagMistake("USER", fmt.Sprintf("%q: %v", user, err), "name the user as authentication does")
	}
	o, err := p.opts.loadFor("nats", "subjects", "durable")
	if err != nil {
		return err
	}
	payload := []byte(data)
	if data == "-" {
		if payload, err = io.ReadAll(os.Stdin); err != nil {
			return fmt.Errorf("read the data from standard input: %w", err)
		}
	}
	url, err := natsURL(o)
	if err != nil {
		return err
	}
	if p.id == "" {
		p.id = rand.Text()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	got, err := app.Publish(ctx, o, url, user, payload, p.id)
	if err != nil {
		return p.failed(ctx, err)
	}
	fmt.Println(receipt(got))
	return nil
}

// natsURL is where to publish: "" where o names it, else as the gateway wrote.
func natsURL(o config.Options) (string, error) {
	if len(o.NATS.URL) > 0 {
		return "", nil
	}
	a, err := addresses(o.Data, "name NATS with --nats nats://host:4222")
	return a.NATS, err
}

func (p *publishing) failed(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("%w\nDoes the gateway use the same configuration? (--config, --prefix, or the same BELFRY_ variables; a user needs nats.user and nats.password)", err)
	}
	why := "was interrupted"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		why = fmt.Sprintf("had no acknowledgement within %s (--timeout)", p.timeout)
	}
	return fmt.Errorf("publish %s; it may be stored or not: %w\nTry again with --id %s, it can't arrive twice. Is NATS there, has it JetStream, and is the --prefix the gateway's?", why, err, shellWord(p.id))
}

// receipt is one line: where it went and what to call it.
func receipt(r app.Receipt) string {
	line := fmt.Sprintf("published subject=%s stream=%s sequence=%d id=%s", r.Subject, r.Stream, r.Seq, r.ID)
	if r.Duplicate {
		line += " (a duplicate: this id was stored before)"
	}
	return line
}
