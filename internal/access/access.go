// Package access is who may use what is on the internal port: who shows the
// key, and where the port listens on a loopback address every program of this
// machine, but not every web page that a browser on it has open.
//
// The key is that of api.key, as `X-API-Key: KEY` or `Authorization: Bearer
// KEY`; `apikey` passes for Bearer, as older clients of Centrifugo write it.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// A Guard asks for the key where one is needed. Before Set it lets nobody in.
// Its methods may be called from any goroutine.
type Guard struct{ now atomic.Pointer[rule] }

type rule struct {
	loopback bool
	key      string
}

// Set says what is needed from now on. loopback is whether the port listens on
// a loopback address; an empty key opens nothing.
func (g *Guard) Set(loopback bool, key string) { g.now.Store(&rule{loopback, key}) }

// Wrap has the guard stand before a handler. Who is not let in is answered 401
// and told what is missing.
func (g *Guard) Wrap(h http.Handler) http.Handler {
	return g.WrapUnless(h, "", func() bool { return false })
}

// WrapUnless is Wrap for what an option opens to everyone: open tells whether
// it is set.
func (g *Guard) WrapUnless(h http.Handler, option string, open func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := g.now.Load()
		missing := "The gateway is starting, and it is not known yet who may come in"
		if now != nil {
			missing = now.missing(r)
		}
		if missing == "" || now != nil && open() {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="belfry"`)
		http.Error(w, refusal(now, missing, option), http.StatusUnauthorized)
	})
}

func refusal(now *rule, missing, option string) string {
	switch {
	case now == nil:
		return missing + "."
	case now.key == "":
		missing += ", which is not set."
	default:
		missing += ", as `X-API-Key: KEY` or `Authorization: Bearer KEY`."
	}
	if option != "" {
		missing += " " + option + ": true opens it to everyone."
	}
	return missing
}

var origins = http.NewCrossOriginProtection()

// missing says why a request needs the key, "" where it needs none or shows it.
//
// A page that somebody has open in a browser on this machine reaches loopback
// addresses too. It could post across origins, which Sec-Fetch-Site and Origin
// tell, or read the answer as well under a name of its own that it points at
// 127.0.0.1 (DNS rebinding), which the Host header tells.
func (a *rule) missing(r *http.Request) string {
	switch {
	case a.shows(r):
		return ""
	case !a.loopback:
		return "The internal port does not listen on a loopback address, so this needs the key of api.key"
	case !isLocal(r.Host):
		return "This was asked for under another name than localhost or an IP address, so it needs the key of api.key"
	case origins.Check(r) != nil:
		return "This was asked for by a web page of another origin, so it needs the key of api.key"
	}
	return ""
}

// isLocal tells whether a Host header is an IP address or localhost.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil
}

// shows compares in constant time, over hashes, so that not even the key's
// length can be measured.
func (a *rule) shows(r *http.Request) bool {
	given := r.Header.Get("X-API-Key")
	if given == "" {
		scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "apikey") {
			return false
		}
		given = strings.TrimSpace(rest)
	}
	if a.key == "" {
		return false
	}
	want, got := sha256.Sum256([]byte(a.key)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
