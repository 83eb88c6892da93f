// Package web is the demo page: two users side by side and a form that has the
// example backend publish. HTML, CSS and JavaScript are embedded as they stand
// in the folder page; there is no build step and nothing is loaded from
// elsewhere.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed page
var page embed.FS

// policy lets the page load what this server serves and talk to this server,
// and nothing else: no inline script or style, no frame around it. 'self'
// includes WebSockets to the page's own host and port.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

type asset struct {
	body        []byte
	contentType string
	etag        string
}

// Handler serves the page at / and its parts below /demo/, to GET and HEAD.
// Every answer may be kept but must be asked about again (an ETag makes that
// cheap), so that a new binary's page is never mixed with an old one's script.
// Any other path is 404.
func Handler() http.Handler {
	assets := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := assets[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}

// load reads the embedded files by the path that each is served under. The
// files are part of the binary: what goes wrong here is a mistake in this
// package, which its test finds.
func load() map[string]asset {
	entries, err := page.ReadDir("page")
	if err != nil {
		panic("reading the embedded page: " + err.Error())
	}
	assets := make(map[string]asset, len(entries))
	for _, entry := range entries {
		body, err := page.ReadFile("page/" + entry.Name())
		if err != nil {
			panic("reading the embedded page: " + err.Error())
		}
		contentType, ok := contentTypes[path.Ext(entry.Name())]
		if !ok {
			panic("the embedded page has a file of unknown type: " + entry.Name())
		}
		served := "/demo/" + entry.Name()
		if entry.Name() == "index.html" {
			served = "/"
		}
		sum := sha256.Sum256(body)
		assets[served] = asset{body, contentType, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return assets
}
