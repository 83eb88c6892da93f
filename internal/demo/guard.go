package demo

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets only this server's own page, and programs that are no browser,
// publish. Any page that a developer has open could otherwise reach a demo on
// localhost:
//
//   - with a plain cross-site POST: Sec-Fetch-Site or Origin tell, and a body
//     that calls itself JSON takes a preflight, which is not answered;
//   - through a name of its own that it points at 127.0.0.1 (DNS rebinding):
//     browser and server then agree on the name, so only an address or
//     localhost is accepted as one.
func guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			fail(w, http.StatusMethodNotAllowed, "publish with POST")
			return
		}
		if !isAddress(r.Host) {
			fail(w, http.StatusForbidden, "open the demo at its address or at localhost, not under another name")
			return
		}
		if err := origins.Check(r); err != nil {
			fail(w, http.StatusForbidden, "only the demo's own page may publish")
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			fail(w, http.StatusUnsupportedMediaType, "the body must be application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isAddress tells whether a Host header is an IP address or localhost, with or
// without a port.
func isAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
