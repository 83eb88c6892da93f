package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/internal/config"
)

const (
	// storeDir, in the data directory, is the embedded server's.
	storeDir = "nats"

	// recoverWithin bounds a start. A store that was not closed cleanly is
	// scanned first, about 2 µs a message: 10 million take 20 s.
	recoverWithin = 10 * time.Minute
	readyWithin   = 10 * time.Second
	// leaveWithin is how long a Close waits for a Reopen that was left.
	leaveWithin = time.Second

	// maxClients keeps the server, its store's files and the rest of the process
	// within the 512 descriptors that limits.connections leaves.
	maxClients = 384

	// maxMemory bounds streams in memory, of which Belfry has none. It must not be 0:
	// the server would then take 75 % of the machine's.
	maxMemory = 64 << 20
)

// embedded is the NATS server inside this process, and the lock on its store.
type embedded struct {
	o      config.Options
	log    *slog.Logger
	unlock func()

	cluster *membership // nil for a server by itself

	store sync.Mutex  // held while the store is opened anew, and while it is closed
	left  atomic.Bool // a Reopen was left before it was done

	mu   sync.Mutex // guards the following
	ns   *server.Server
	said *serverLog // what that one has logged
}

// startServer starts a server and returns when it takes connections.
func startServer(o config.Options, log *slog.Logger) (*embedded, error) {
	opts, err := serverOptions(o)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(o.Data)
	if err != nil {
		return nil, err
	}
	e := &embedded{o: o, log: log, unlock: unlock}
	if o.NATS.Clustered() {
		e.cluster = &membership{o: o.NATS.Cluster, since: time.Now()} // until it has been asked
	}
	if err := e.open(opts); err != nil {
		unlock()
		return nil, err
	}
	if o.NATS.User == "" {
		log.Warn("embedded NATS asks for no password: every process that reaches it may publish, delete the streams and answer authentication; nats.user and nats.password close it",
			"nats", e.server().ClientURL())
	}
	return e, nil
}

// open starts a server on the store, which no other one has open.
func (e *embedded) open(opts *server.Options) error {
	host, log := opts.Host, &serverLog{log: e.log.With("server", "nats")}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("%w: embedded NATS: %w", ErrMisconfigured, err)
	}
	ns.SetLogger(log, false, false)
	if err := e.start(ns, log); err != nil {
		closeServer(ns)
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ns, e.said = ns, log
	// Who is connected must find the next one where this one was.
	e.o.NATS.Listen = net.JoinHostPort(host, strconv.Itoa(ns.Addr().(*net.TCPAddr).Port))
	return nil
}

func (e *embedded) server() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ns
}

// words is what the server that there is now has logged.
func (e *embedded) words() *serverLog {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said
}

// InProcessConn is a connection to the server that there is now.
func (e *embedded) InProcessConn() (net.Conn, error) { return e.server().InProcessConn() }

func serverOptions(o config.Options) (*server.Options, error) {
	host, port, err := splitListen("nats.listen", o.NATS.Listen)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "belfry",
		Host:       host,
		Port:       port,
		// A signal is the daemon's to handle: the server would end the process.
		NoSigs:   true,
		MaxConn:  maxClients,
		Username: o.NATS.User,
		Password: o.NATS.Password,
		// The cache that all connections share is for few subjects that come often.
		// Each user has one here: nearly all would be looked for in vain, entered and
		// thrown out again.
		NoSublistCache: true,
	}
	if o.NATS.Clustered() {
		if err := setCluster(opts, o); err != nil {
			return nil, err
		}
	}
	if !o.Durable {
		return opts, nil
	}
	if !o.NATS.Clustered() {
		if err := checkAlone(o); err != nil {
			return nil, err
		}
	}
	opts.JetStream = true
	opts.DisableJetStreamBanner = true
	opts.JetStreamDomain = o.NATS.Domain
	opts.StoreDir = filepath.Join(o.Data, storeDir)
	// Its own default is 75 % of the disk.
	opts.JetStreamMaxStore = o.NATS.MaxStore
	opts.JetStreamMaxMemory = maxMemory
	if o.NATS.MaxStore <= 0 {
		return nil, fmt.Errorf("%w: nats.max_store: %d bytes: more than 0 are needed, at least twice stream.max_bytes", ErrMisconfigured, o.NATS.MaxStore)
	}
	if o.NATS.SyncInterval == config.SyncAlways {
		opts.SyncAlways = true
	} else {
		opts.SyncInterval = time.Duration(o.NATS.SyncInterval)
	}
	return opts, nil
}

func splitListen(key, listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%w: %s: %q is not host:port", ErrMisconfigured, key, listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// start waits for the server's own Start, which recovers the store, and then
// asks it: it has no error to return.
func (e *embedded) start(ns *server.Server, log *serverLog) error {
	started := make(chan struct{})
	go func() {
		defer close(started)
		ns.Start()
	}()
	if err := e.recovered(started); err != nil {
		return err
	}
	if err := listening(ns, log); err != nil {
		return explain(err, e.o)
	}
	if e.o.Durable && !ns.JetStreamEnabled() {
		return fmt.Errorf("embedded NATS started without JetStream: the log has the reason")
	}
	return nil
}

// listening waits for the server's ports. That of the routes is opened last, on
// a goroutine of its own.
func listening(ns *server.Server, log *serverLog) error {
	for deadline := time.Now().Add(readyWithin); ; {
		ready := ns.ReadyForConnections(50 * time.Millisecond)
		if err := log.failed(); err != nil {
			return err
		}
		if ready {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it takes no connections %v after its start", readyWithin)
		}
	}
}

func (e *embedded) recovered(started <-chan struct{}) error {
	began, say := time.Now(), time.NewTicker(5*time.Second)
	defer say.Stop()
	for {
		select {
		case <-started:
			return nil
		case <-say.C:
			took := time.Since(began).Round(time.Second)
			if took > recoverWithin {
				return fmt.Errorf("embedded NATS has not recovered its store in %v", recoverWithin)
			}
			e.log.Info("embedded NATS is still recovering its store, as after a crash", "for", took)
		}
	}
}

func explain(err error, o config.Options) error {
	var listen *net.OpError
	refused := errors.As(err, &listen) && listen.Op == "listen"
	if refused && strings.Contains(err.Error(), "router port") {
		return explainRoutes(err, o, errors.Is(err, syscall.EADDRINUSE))
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: nats.listen: %s is taken (another NATS or Belfry?): stop what listens there, give nats.listen another address (port 0 takes a free one), or use the NATS that is there with nats.url: %w",
			ErrMisconfigured, o.NATS.Listen, errors.Unwrap(err))
	}
	if refused {
		return fmt.Errorf("%w: nats.listen: %s: %w: it must be an address of this machine", ErrMisconfigured, o.NATS.Listen, listen)
	}
	return fmt.Errorf("%w: start the embedded NATS on %s: %w", ErrMisconfigured, filepath.Join(o.Data, storeDir), err)
}

// url is where another process on this machine reaches the server.
func (e *embedded) url() string {
	addr := e.server().Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// stop closes the store cleanly, so that the next start need not scan it.
func (e *embedded) stop() {
	e.store.Lock()
	defer e.store.Unlock()
	closeServer(e.server())
	e.unlock()
}

func closeServer(ns *server.Server) {
	ns.Shutdown()
	ns.WaitForShutdown()
}
