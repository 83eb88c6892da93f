package app

import (
	"io"
	"net"
	"net/http"

	"belfry/internal/auth"
	"belfry/internal/config"
	"belfry/internal/dialect/eventsource"
	"belfry/internal/dialect/messagechannel"
	"belfry/internal/reason"
	"belfry/internal/transport"
	"belfry/internal/web"
)

const whatThisIs = `This is Belfry, a gateway for real-time notifications.
Clients open a WebSocket here (dialect messagechannel) or read /events (dialect
eventsource). There is no page: the demo is off.
`

// publicHandler is the public port: clients, and whether the gateway is ready.
// The demo's page and backend are there when asked for.
func (a *App) publicHandler() http.Handler {
	mux := http.NewServeMux()
	a.board.Public(mux)
	page := http.Handler(http.HandlerFunc(upgradeRequired))
	if a.options.Load().Demo {
		page = web.Handler()
		mux.Handle("/demo/", page)
		mux.HandleFunc("/demo/publish", a.demoPublish)
	}
	mux.HandleFunc(eventsource.Path, a.stream)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		if isHandshake(r) {
			a.webSocket(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
	return mux
}

// route finds the clients' requests, which the transport's door answers without
// net/http. Only the EventSource's waits for the backend.
func (a *App) route(r *http.Request) (handler http.HandlerFunc, waits bool) {
	switch {
	case r.URL.Path == "/" && isHandshake(r):
		return a.safely(a.webSocket), false
	case r.URL.Path == eventsource.Path:
		return a.safely(a.stream), true
	}
	return nil, false
}

func (a *App) safely(h http.HandlerFunc) http.HandlerFunc { return recovered(h, a.log).ServeHTTP }

func (a *App) webSocket(w http.ResponseWriter, r *http.Request) { a.letIn(w, r, a.admit) }

func (a *App) stream(w http.ResponseWriter, r *http.Request) { a.letIn(w, r, a.admitStream) }

func (a *App) internalHandler() http.Handler {
	mux := http.NewServeMux()
	a.board.Internal(mux)
	a.serverAPI().Mount(mux)
	return mux
}

// isHandshake tells whether a WebSocket is asked for, however wrongly.
func isHandshake(r *http.Request) bool {
	return transport.IsUpgrade(r) || r.Header.Get("Upgrade") != "" || r.Header.Get("Sec-Websocket-Key") != ""
}

func upgradeRequired(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Upgrade", "websocket")
	h.Set("Connection", "Upgrade")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUpgradeRequired)
	_, _ = io.WriteString(w, whatThisIs)
}

func (a *App) demoPublish(w http.ResponseWriter, r *http.Request) {
	rooms := a.rooms.Load()
	if rooms == nil {
		transport.Refuse(w, http.StatusServiceUnavailable, reason.NotReady, "the gateway is starting; try again")
		return
	}
	rooms.demo.Handler().ServeHTTP(w, r)
}

// letIn has a client admitted and counts why it was not.
func (a *App) letIn(w http.ResponseWriter, r *http.Request, admit func(http.ResponseWriter, *http.Request) reason.Reason) {
	defer func() {
		bug := recover()
		if bug == nil {
			return
		}
		if bug != http.ErrAbortHandler { // that is how a handler says nothing
			a.refusals[reason.Internal].Add(1)
		}
		panic(bug) // recovered, further up, answers and logs
	}()
	if why := admit(w, r); why != reason.None {
		a.refusals[why].Add(1)
		a.log.Debug("a handshake was refused", "reason", why.String(), "remote", r.RemoteAddr, "origin", r.Header.Get("Origin"))
	}
}

// admitStream lets an EventSource in. What time may mend is no error there: its
// client would never come back.
func (a *App) admitStream(w http.ResponseWriter, r *http.Request) reason.Reason {
	o := a.options.Load()
	if why := a.ready.gate(); why != reason.None {
		return eventsource.Refuse(w, r, o, why)
	}
	rooms := a.rooms.Load() // there since before the gateway was ready
	return rooms.events.Serve(rooms.transport, w, r, o, factsOf(r, o))
}

func (a *App) admit(w http.ResponseWriter, r *http.Request) reason.Reason {
	o := a.options.Load()
	refuse := func(status int, why reason.Reason, text string) reason.Reason {
		transport.Refuse(w, status, why, text)
		return why
	}
	switch a.ready.gate() {
	case reason.NotReady:
		return refuse(http.StatusServiceUnavailable, reason.NotReady, "the gateway is not ready yet; try again")
	case reason.Drain:
		return refuse(http.StatusServiceUnavailable, reason.Drain, transport.GoingAway)
	}
	if !o.Public.OriginAllowed(r.Header.Get("Origin")) {
		return refuse(http.StatusForbidden, reason.BadOrigin, "pages of this origin may not connect (public.origins)")
	}
	device, err := eventsource.DeviceOf(r)
	if err != nil {
		return refuse(http.StatusBadRequest, reason.BadHandshake, err.Error())
	}
	rooms := a.rooms.Load() // there since before the gateway was ready
	facts := factsOf(r, o)
	return rooms.transport.Accept(w, r, messagechannel.Name, messagechannel.ReadLimit, func(c *transport.Conn) transport.Session {
		return rooms.channel.Open(c, facts, device)
	})
}

func factsOf(r *http.Request, o *config.Options) auth.Facts {
	return auth.Facts{
		Remote:    clientOf(r, o.TrustedProxies),
		Origin:    r.Header.Get("Origin"),
		UserAgent: r.UserAgent(),
		Dialect:   messagechannel.Name,
	}
}

// refuseSocket counts a socket that was closed before it asked for anything.
func (a *App) refuseSocket() { a.refusals[reason.Limit].Add(1) }

// setAccess tells who may see what on the internal port.
func (a *App) setAccess(o *config.Options, internal net.Addr) {
	a.board.SetAccess(isLoopback(internal), o.API.Key, o.Metrics.Open)
}

// isLoopback tells whether only this machine reaches a listener. A test's says
// no.
var isLoopback = func(a net.Addr) bool {
	at, ok := a.(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}
