package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target, ifNoneMatch string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	if ifNoneMatch != "" {
		r.Header.Set("If-None-Match", ifNoneMatch)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestEachFileIsServedAsWhatItIs(t *testing.T) {
	for target, contentType := range map[string]string{
		"/":                    "text/html; charset=utf-8",
		"/demo/style.css":      "text/css; charset=utf-8",
		"/demo/app.js":         "text/javascript; charset=utf-8",
		"/demo/eventsource.js": "text/javascript; charset=utf-8",
		"/demo/bell.svg":       "image/svg+xml",
	} {
		got := get(t, "GET", target, "")
		if got.StatusCode != http.StatusOK {
			t.Errorf("GET %s: status %d", target, got.StatusCode)
		}
		for header, want := range map[string]string{
			"Content-Type":            contentType,
			"Content-Security-Policy": policy,
			"X-Content-Type-Options":  "nosniff",
			"Cache-Control":           "no-cache",
		} {
			if value := got.Header.Get(header); value != want {
				t.Errorf("GET %s: %s is %q, want %q", target, header, value, want)
			}
		}
	}
}

func TestWhatIsKeptIsAskedAboutByItsETag(t *testing.T) {
	first := get(t, "GET", "/demo/app.js", "")
	etag := first.Header.Get("ETag")
	if etag == "" {
		t.Fatal("no ETag")
	}
	if again := get(t, "GET", "/demo/app.js", etag); again.StatusCode != http.StatusNotModified {
		t.Errorf("with the current ETag: status %d, want 304", again.StatusCode)
	}
	if other := get(t, "GET", "/demo/app.js", `"old"`); other.StatusCode != http.StatusOK {
		t.Errorf("with an old ETag: status %d, want 200", other.StatusCode)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"HEAD", "/", 200},
		{"POST", "/", 405},
		{"GET", "/index.html", 404},
		{"GET", "/demo/", 404},
		{"GET", "/demo/index.html", 404},
		{"GET", "/demo/nothing.js", 404},
	} {
		if got := get(t, c.method, c.target, ""); got.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.target, got.StatusCode, c.status)
		}
	}
}

// The policy forbids what is inline or foreign; a page that has some would lose
// it without a word but in the browser's console.
func TestThePageLoadsOnlyItsOwnFiles(t *testing.T) {
	body, err := io.ReadAll(get(t, "GET", "/", "").Body)
	if err != nil {
		t.Fatal(err)
	}
	html := string(body)
	for _, inline := range []string{"<style", " style=", " onclick=", "javascript:"} {
		if strings.Contains(html, inline) {
			t.Errorf("the page has %q in it", inline)
		}
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	if len(links) < 4 {
		t.Fatalf("found %d links in the page, expected its icon, style, script and picture", len(links))
	}
	for _, link := range links {
		if got := get(t, "GET", path.Join("/", link[1]), ""); got.StatusCode != http.StatusOK {
			t.Errorf("the page refers to %q, which is not served: status %d", link[1], got.StatusCode)
		}
	}
}

// Every string that came over the wire goes in as text, never as markup.
func TestNoScriptWritesMarkup(t *testing.T) {
	for name, a := range load() {
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
			if strings.Contains(string(a.body), way) {
				t.Errorf("%s uses %s", name, way)
			}
		}
	}
}
