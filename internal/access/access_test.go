package access

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhoIsLetIn(t *testing.T) {
	const local = "127.0.0.1:6004"
	for name, tt := range map[string]struct {
		loopback bool
		key      string
		host     string
		header   []string
		let      bool
	}{
		"loopback":                      {loopback: true, let: true},
		"loopback, a key is set":        {loopback: true, key: "k", let: true},
		"loopback, localhost":           {loopback: true, host: "localhost:6004", let: true},
		"loopback, IPv6":                {loopback: true, host: "[::1]:6004", let: true},
		"loopback, IPv6 without port":   {loopback: true, host: "[::1]", let: true},
		"loopback, a name":              {loopback: true, host: "evil.example:6004"},
		"loopback, a name and the key":  {loopback: true, key: "k", host: "push.example", header: []string{"X-API-Key", "k"}, let: true},
		"loopback, a page":              {loopback: true, header: []string{"Origin", "https://evil.example"}},
		"loopback, a page, modern":      {loopback: true, header: []string{"Sec-Fetch-Site", "cross-site"}},
		"loopback, a page and the key":  {loopback: true, key: "k", header: []string{"Sec-Fetch-Site", "cross-site", "X-API-Key", "k"}, let: true},
		"loopback, a page of this port": {loopback: true, header: []string{"Origin", "http://" + local}, let: true},
		"elsewhere, none":               {key: "k"},
		"elsewhere, the key":            {key: "k", header: []string{"X-API-Key", "k"}, let: true},
		"elsewhere, the wrong one":      {key: "k", header: []string{"X-API-Key", "x"}},
		"as bearer":                     {key: "k", header: []string{"Authorization", "Bearer k"}, let: true},
		"bearer in lower case":          {key: "k", header: []string{"Authorization", "bearer  k"}, let: true},
		"as Centrifugo's apikey":        {key: "k", header: []string{"Authorization", "apikey k"}, let: true},
		"another scheme":                {key: "k", header: []string{"Authorization", "Basic k"}},
		"no key is set":                 {header: []string{"Authorization", "Bearer "}},
		"no key is set, none given":     {},
	} {
		t.Run(name, func(t *testing.T) {
			var g Guard
			h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") }))
			r := httptest.NewRequest("POST", "/", nil)
			if r.Host = tt.host; tt.host == "" {
				r.Host = local
			}
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != 401 {
				t.Errorf("before Set: %d, want 401", w.Code)
			}
			g.Set(tt.loopback, tt.key)
			w = httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch {
			case tt.let && (w.Code != 200 || w.Body.String() != "in"):
				t.Errorf("not let in: %d %s", w.Code, w.Body)
			case !tt.let && (w.Code != 401 || !strings.Contains(w.Body.String(), "api.key") || w.Header().Get("WWW-Authenticate") == ""):
				t.Errorf("let in, or not told what is missing: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestAnOptionOpens(t *testing.T) {
	var g Guard
	open := false
	h := g.WrapUnless(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "metrics.open", func() bool { return open })
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return w
	}
	g.Set(false, "k")
	if w := get(); w.Code != 401 || !strings.Contains(w.Body.String(), "metrics.open: true") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if open = true; get().Code != 200 {
		t.Error("it is open, and nobody is let in")
	}
}
