package bus

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

const (
	reconnectWait = 100 * time.Millisecond
	dialTimeout   = 2 * time.Second
	drainTimeout  = 5 * time.Second

	// A server that vanished without closing the connection is noticed after
	// pingEvery × (pingsOut+1), below the 10 s after which /readyz turns false.
	// The library's own default takes six minutes.
	pingEvery = 3 * time.Second
	pingsOut  = 2

	// writeWithin is how long the server may take to read what is written, at most
	// one message and 32 KiB. Everybody who sends waits meanwhile, the pings too: the
	// library's own minute would freeze the event loops for that long. A publication
	// that takes longer is not acknowledged in tryFor either.
	writeWithin = 3 * time.Second
)

// connectInside connects to the embedded server without a socket.
func (b *Bus) connectInside() error {
	opts := append(b.options(), nats.InProcessServer(b.server))
	if b.o.NATS.User != "" {
		opts = append(opts, nats.UserInfo(b.o.NATS.User, b.o.NATS.Password))
	}
	b.url = b.server.url()
	return b.connect("", opts)
}

func (b *Bus) connectTo(urls []string, more nats.Option) error {
	shown, err := withoutSecrets(urls)
	if err != nil {
		return err
	}
	b.url = shown
	credentials, err := b.credentials()
	if err != nil {
		return err
	}
	opts := append(b.options(), credentials...)
	opts = append(opts, nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsOut),
		nats.FlusherTimeout(writeWithin), nats.ReconnectOnFlusherError(), more)
	return b.connect(strings.Join(urls, ","), opts)
}

func (b *Bus) connect(urls string, opts []nats.Option) error {
	nc, err := nats.Connect(urls, opts...)
	if err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", b.url, err)
	}
	b.nc = nc
	if b.js, err = b.jetStream(nc); err != nil {
		b.Leave()
		return fmt.Errorf("%w: nats.domain: %w", ErrMisconfigured, err)
	}
	if err := b.listen(); err != nil {
		b.Leave()
		return fmt.Errorf("subscribe to the replies: %w", err)
	}
	return nil
}

func (b *Bus) jetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	if b.o.NATS.Domain != "" {
		return jetstream.NewWithDomain(nc, b.o.NATS.Domain)
	}
	return jetstream.New(nc)
}

// options are what both kinds of connection have. It never gives up, not even
// when credentials are refused: they may be put right while we run.
func (b *Bus) options() []nats.Option {
	opts := []nats.Option{
		nats.Name("belfry"),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.IgnoreAuthErrorAbort(),
		// Nothing waits here for NATS to come back: a request would be asked
		// after its asker gave up, a publication sent that nobody acknowledges.
		nats.ReconnectBufSize(-1),
		nats.DrainTimeout(drainTimeout),
		nats.ConnectHandler(b.onConnect),
		nats.ReconnectHandler(b.onConnect),
		nats.DisconnectErrHandler(b.onDisconnect),
		nats.ReconnectErrHandler(b.onFailedConnect),
		nats.ErrorHandler(b.onError),
		nats.ClosedHandler(b.onClosed),
	}
	if b.o.NATS.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(b.o.NATS.InboxPrefix))
	}
	return opts
}

// credentials are read once before the first connection, so that a wrong path
// is an error now and not a refusal for ever, and again on each reconnect.
func (b *Bus) credentials() ([]nats.Option, error) {
	o := b.o.NATS
	var opts []nats.Option
	if o.Credentials != "" {
		if err := checkCredentials(o.Credentials); err != nil {
			return nil, fmt.Errorf("%w: nats.credentials: %w", ErrMisconfigured, err)
		}
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	if o.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("%w: nats.nkey: %s: %w", ErrMisconfigured, o.NKey, err)
		}
		opts = append(opts, opt)
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if o.CA != "" {
		opts = append(opts, keyed("nats.ca", nats.RootCAs(o.CA)))
	}
	if o.Cert != "" || o.Key != "" {
		opts = append(opts, keyed("nats.cert and nats.key", nats.ClientCert(o.Cert, o.Key)))
	}
	return opts, nil
}

func checkCredentials(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := nkeys.ParseDecoratedJWT(text); err != nil {
		return fmt.Errorf("%s: no user JWT in it: %w", path, err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return fmt.Errorf("%s: no user seed in it: %w", path, err)
	}
	pair.Wipe()
	return nil
}

// keyed names the configuration key in an option's error.
func keyed(key string, opt nats.Option) nats.Option {
	return func(o *nats.Options) error {
		if err := opt(o); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrMisconfigured, key, err)
		}
		return nil
	}
}

// withoutSecrets joins the addresses and leaves out user and password. A URL
// that can't be parsed is not quoted: it may hold them.
func withoutSecrets(urls []string) (string, error) {
	shown := make([]string, len(urls))
	for i, text := range urls {
		full := strings.TrimSpace(text)
		if !strings.Contains(full, "://") {
			full = "nats://" + full
		}
		u, err := url.Parse(full)
		if err != nil {
			var parse *url.Error
			if errors.As(err, &parse) {
				err = parse.Err
			}
			return "", fmt.Errorf("%w: nats.url: address %d of %d is not a URL like nats://host:4222: %w", ErrMisconfigured, i+1, len(urls), err)
		}
		if u.Host == "" {
			return "", fmt.Errorf("%w: nats.url: address %d of %d names no host: it should look like nats://host:4222", ErrMisconfigured, i+1, len(urls))
		}
		u.User = nil
		shown[i] = u.String()
	}
	return strings.Join(shown, ","), nil
}
