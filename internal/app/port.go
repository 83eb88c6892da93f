package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"syscall"
	"time"

	"belfry/internal/config"
)

// headersWithin is how long a client may take over a request's head: who sends
// a byte now and then does not keep a socket. A test's is shorter.
var headersWithin = 10 * time.Second

const (
	requestWithin = 30 * time.Second
	idleFor       = 30 * time.Second // between requests on one socket
	maxHeaders    = 16 << 10         // bytes
)

// A port is a listener and the HTTP server on it.
type port struct {
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
	ended    chan struct{} // closed when the acceptor has ended
}

// listen opens both ports and begins to answer on them.
func (a *App) listen(o *config.Options) error {
	public, err := open("public.listen", o.Public.Listen, -1)
	if err != nil {
		return err
	}
	internal, err := open("internal.listen", o.Internal.Listen, 0)
	if err != nil {
		public.Close()
		return err
	}
	a.setAccess(o, internal)

	server := newServer(a.publicHandler(), a.log)
	server.ReadTimeout, server.WriteTimeout = requestWithin, requestWithin
	bounded := &acceptor{Listener: public, full: a.full, refused: a.refuseSocket, log: a.log}
	server.ConnState = bounded.state
	a.public = a.serve(public, bounded, server)
	a.internal = a.serve(internal, internal, newServer(a.internalHandler(), a.log))
	return nil
}

// open listens on the address of an option. keepAlive is as in
// net.ListenConfig: the public port has none, as the transport pings.
func open(key, address string, keepAlive time.Duration) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: keepAlive}
	listener, err := config.Listen(context.Background(), "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is taken by another process: stop that one, or set %s to another address (port 0 takes any that is free): %w", key, address, key, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine: set %s to one that is, or to :PORT for all: %w", key, address, key, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not listen on %s: take a port from 1024 up, or allow it (CAP_NET_BIND_SERVICE): %w", key, address, err)
	case err != nil:
		return nil, fmt.Errorf("%s: listening on %s: %w", key, address, err)
	}
	return listener, nil
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           recovered(h, log),
		ReadHeaderTimeout: headersWithin,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve answers what on accepts. The public port speaks TLS where there is a
// certificate.
func (a *App) serve(listener, on net.Listener, server *http.Server) *port {
	p := &port{listener: listener, server: server, log: a.log, ended: make(chan struct{})}
	if a.cert != nil && listener != on {
		server.TLSConfig = &tls.Config{GetCertificate: a.cert.get, MinVersion: tls.VersionTLS12}
	}
	go func() {
		defer close(p.ended)
		serve := server.Serve
		if server.TLSConfig != nil { // also sets up HTTP/2
			serve = func(on net.Listener) error { return server.ServeTLS(on, "", "") }
		}
		if err := serve(on); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			a.log.Error("a port answers no more", "address", p.addr(), "err", err)
		}
	}()
	return p
}

func (p *port) addr() string { return p.listener.Addr().String() }

// deaf stops accepting. Who is connected stays.
func (p *port) deaf() {
	_ = p.listener.Close() // a second time it is an error of no interest
	<-p.ended
}

// close ends the port and every request on it, and waits for the acceptor.
func (p *port) close() {
	p.deaf()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.server.Shutdown(ctx) != nil {
		_ = p.server.Close()
	}
}

// recovered answers 500 where a handler panics, and logs what happened. The
// process lives.
func recovered(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				log.Error("a request met a bug", "reason", "internal", "path", r.URL.Path, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
				w.WriteHeader(http.StatusInternalServerError) // does nothing where the answer has begun
			}
		}()
		h.ServeHTTP(w, r)
	})
}
