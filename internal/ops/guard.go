package ops

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

type access struct {
	loopback    bool
	key         string
	metricsOpen bool
}

// A guard asks for the key where one is needed. Before SetAccess it lets nobody
// in.
type guard struct{ now atomic.Pointer[access] }

// wrap guards a handler; option names what would open it, if there is such an
// option, and open tells whether that is set.
func (g *guard) wrap(h http.Handler, option string, open func(*access) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := g.now.Load()
		if a != nil && (a.loopback && isLocal(r.Host) || open(a) || a.allows(r)) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="belfry"`)
		http.Error(w, refusal(a, option), http.StatusUnauthorized)
	})
}

func refusal(a *access, option string) string {
	s := "The internal port does not listen on a loopback address, so this needs the key of api.key"
	if a != nil && a.loopback {
		s = "This was asked for under another name than localhost or an IP address, so it needs the key of api.key"
	}
	if a == nil || a.key == "" {
		s += ", which is not set."
	} else {
		s += ", as `X-API-Key: KEY` or `Authorization: Bearer KEY`."
	}
	if option != "" {
		s += " " + option + ": true opens it to everyone."
	}
	return s
}

// isLocal tells whether a Host header is an IP address or localhost. Any page
// in a browser on this machine could point a name of its own at 127.0.0.1 and
// read what it is answered (DNS rebinding).
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil
}

// allows compares in constant time, over hashes, so that not even the key's
// length shows.
func (a *access) allows(r *http.Request) bool {
	given := r.Header.Get("X-API-Key")
	if given == "" {
		scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
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
