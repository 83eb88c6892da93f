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
	"belfry/internal/transport"
)

// headersWithin is how long a client may take over a request's head: who sends
// a byte now and then does not keep a socket. A test's is shorter.
var headersWithin = 10 * time.Second

const (
	requestWithin = 30 * time.Second
	// An HTTP/2 client is pinged after silence, and gone after 35 s of it, as a
	// WebSocket's is. Nobody looks at TCP here, so a slow line has longer to answer.
	silentFor  = 20 * time.Second
	pongWithin = 15 * time.Second
	// idleFor is how long a socket may wait for its next request: longer than
	// proxies keep one, 60 s most of them, or they send one down a line that is
	// just being closed.
	idleFor    = 75 * time.Second
	maxHeaders = 16 << 10 // bytes
)

// A port is a listener and the HTTP server on it.
type port struct {
	address  net.Addr
	stop     func() // stops accepting
	server   *http.Server
	deafened chan struct{} // closed when nobody accepts any more
	ended    chan struct{} // closed when the HTTP server is given nothing any more
}

// listen opens both ports and begins to answer on them.
func (a *App) listen(o *config.Options) error {
	// No keep-alive of TCP's, as the transport pings, and plain TCP: Multipath TCP
	// passes no bound on.
	clients := net.ListenConfig{KeepAlive: -1, Control: transport.BoundUnsent}
	clients.SetMultipathTCP(false)
	public, err := open("public.listen", o.Public.Listen, clients)
	if err != nil {
		return err
	}
	internal, err := open("internal.listen", o.Internal.Listen, net.ListenConfig{})
	if err != nil {
		public.Close()
		return err
	}
	a.setAccess(o, internal.Addr())

	a.transport, err = transport.New(transport.Options{Connections: o.Limits.Connections, Queue: o.Limits.Queue, Log: a.log})
	if err == nil {
		a.public, err = a.servePublic(public)
	}
	if err != nil {
		public.Close()
		internal.Close()
		return fmt.Errorf("starting the transport: %w", err)
	}
	a.internal = a.serve(internal, keepOn(internal, a.log), newServer(a.internalHandler(), a.log))
	return nil
}

// servePublic lets clients in: at a door, where there is one and no TLS, and by
// net/http otherwise.
func (a *App) servePublic(listener net.Listener) (*port, error) {
	server := newServer(a.publicHandler(), a.log)
	server.ReadTimeout, server.WriteTimeout = requestWithin, requestWithin
	if a.cert == nil {
		at := &boundedDoor{}
		door, err := a.transport.OpenDoor(listener, transport.DoorOptions{
			Route:      a.route,
			HeadWithin: headersWithin,
			MaxHead:    maxHeaders,
			Left:       func() { at.sockets.Add(-1) },
		})
		if err != nil {
			return nil, err
		}
		if door != nil {
			at.Door = door
			at.bound(a, door.AcceptSocket)
			server.ConnState = at.state
			p := a.serve(listener, at, server)
			p.welcome(at)
			return p, nil
		}
	}
	if a.cert != nil {
		server.TLSConfig = &tls.Config{GetCertificate: a.cert.get, MinVersion: tls.VersionTLS12}
	}
	on := &bounded{Listener: listener}
	on.bound(a, listener.Accept)
	server.ConnState = on.state
	return a.serve(listener, on, server), nil
}

// open listens on the address of an option.
func open(key, address string, config net.ListenConfig) (net.Listener, error) {
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
		HTTP2:             &http.HTTP2Config{SendPingTimeout: silentFor, PingTimeout: pongWithin},
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve answers what on accepts.
func (a *App) serve(listener, on net.Listener, server *http.Server) *port {
	p := &port{address: listener.Addr(), server: server, ended: make(chan struct{})}
	p.deafened, p.stop = p.ended, func() { _ = listener.Close() } // a second time it is an error of no interest
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

// welcome has a goroutine let clients in at a door.
func (p *port) welcome(at *boundedDoor) {
	p.deafened, p.stop = make(chan struct{}), at.Deafen
	go func() {
		defer close(p.deafened)
		at.welcome()
	}()
}

func (p *port) addr() string { return p.address.String() }

// deaf stops accepting. Who is connected stays.
func (p *port) deaf() {
	p.stop()
	<-p.deafened
}

// close ends the port and every request on it, and waits for the acceptor.
func (p *port) close() {
	p.deaf()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.server.Shutdown(ctx) != nil {
		_ = p.server.Close()
	}
	<-p.ended
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
