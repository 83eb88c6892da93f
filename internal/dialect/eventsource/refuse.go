package eventsource

import (
	"net/http"

	"belfry/internal/config"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// Refuse answers a request that nobody is let in for now, and why: the gateway
// is starting, going away, or full. It needs no Dialect. What it returns is why
// the request was refused, None where it was answered as it wanted.
func Refuse(w http.ResponseWriter, r *http.Request, o *config.Options, why reason.Reason) reason.Reason {
	if answered, other := greet(w, r, o); answered {
		return other
	}
	return notNow(w, o, why)
}

// notNow tells the client to come back: a stream of one block, and its end.
func notNow(w http.ResponseWriter, o *config.Options, why reason.Reason) reason.Reason {
	h := w.Header()
	setStream(h)
	h.Set("Belfry-Reason", why.String())
	if why == reason.Drain || why == reason.NotReady {
		h.Set("Connection", "close") // the next attempt shall not come to this gateway for the socket's sake
	}
	b := appendRetry(nil, o.EventSource.Retry, 3*o.EventSource.Retry)
	_, _ = w.Write(appendLast(b, "unavailable", why))
	return why
}

// refuseToken answers 401: for the client's EventSource that is the end. body is
// the backend's reply.
func refuseToken(w http.ResponseWriter, why reason.Reason, body []byte) reason.Reason {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("WWW-Authenticate", "Bearer")
	h.Set("Belfry-Reason", why.String())
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write(body)
	return why
}

var tokenRequired = []byte(`{"success":false,"message":"Token is required"}`)

// refuseRequest answers a request that would be as wrong the next time.
func refuseRequest(w http.ResponseWriter, status int, why reason.Reason, text string) reason.Reason {
	w.Header().Set("Cache-Control", "no-store")
	transport.Refuse(w, status, why, text)
	return why
}

// setStream sets what proxies need to know of a stream: that nothing of it is
// to be stored, changed, compressed or held back.
func setStream(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}

// greet does what comes before any question of who it is: the origin, the
// methods, a browser's question for permission. Where it answered the request,
// it returns why it refused it, or None.
func greet(w http.ResponseWriter, r *http.Request, o *config.Options) (answered bool, why reason.Reason) {
	h, origin := w.Header(), r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	if !o.Public.OriginAllowed(origin) {
		return true, refuseRequest(w, http.StatusForbidden, reason.BadOrigin, "pages of this origin may not connect (public.origins)")
	}
	if origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Belfry-Reason")
		if o.Public.Cookie != "" {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	}
	switch r.Method {
	case http.MethodGet:
		return false, reason.None
	case http.MethodHead:
		setStream(h)
	case http.MethodOptions:
		h.Set("Allow", methods)
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "600") // s
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", methods)
		return true, refuseRequest(w, http.StatusMethodNotAllowed, reason.BadHandshake, "this is a stream of events: GET it")
	}
	return true, reason.None
}

const methods = "GET, HEAD, OPTIONS"
