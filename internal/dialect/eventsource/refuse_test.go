package eventsource

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"belfry/internal/config"
	"belfry/internal/reason"
)

func refuse(method string, change func(*config.Options), headers ...string) (*http.Response, string, reason.Reason) {
	o := config.Default()
	if change != nil {
		change(&o)
	}
	r, w := httptest.NewRequest(method, "/events?token=x", nil), httptest.NewRecorder()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	why := Refuse(w, r, &o, reason.Drain)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(body), why
}

func restricted(o *config.Options) {
	o.Public.Origins, o.Public.Cookie = []string{"https://shop.example"}, "session"
}

// A refusal that time mends is a stream, whatever the gateway's state.
func TestRefuse(t *testing.T) {
	response, body, why := refuse("GET", nil)
	if response.StatusCode != 200 || why != reason.Drain || !strings.HasPrefix(body, "retry: ") ||
		!strings.HasSuffix(body, "\nevent: unavailable\ndata: {\"reason\":\"drain\"}\n\n") {
		t.Errorf("%s %v %q", response.Status, why, body)
	}
	for key, want := range map[string]string{
		"Content-Type":                "text/event-stream; charset=utf-8",
		"Cache-Control":               "no-cache, no-transform",
		"X-Accel-Buffering":           "no",
		"Vary":                        "Origin",
		"Connection":                  "close",
		"Belfry-Reason":               "drain",
		"Access-Control-Allow-Origin": "",
	} {
		if got := response.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestOriginsAndMethods(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		change       func(*config.Options)
		origin       string
		status       int
		why          reason.Reason
		allowed      string // Access-Control-Allow-Origin
		credentials  string
	}{
		{"any origin", "GET", nil, "https://a.example", 200, reason.Drain, "https://a.example", ""},
		{"null", "GET", nil, "null", 200, reason.Drain, "null", ""},
		{"allowed", "GET", restricted, "https://shop.example", 200, reason.Drain, "https://shop.example", "true"},
		{"not allowed", "GET", restricted, "https://a.example", 403, reason.BadOrigin, "", ""},
		{"no origin", "GET", restricted, "", 200, reason.Drain, "", ""},
		{"preflight", "OPTIONS", restricted, "https://shop.example", 204, reason.None, "https://shop.example", "true"},
		{"preflight not allowed", "OPTIONS", restricted, "https://a.example", 403, reason.BadOrigin, "", ""},
		{"head", "HEAD", nil, "", 200, reason.None, "", ""},
		{"post", "POST", nil, "https://a.example", 405, reason.BadHandshake, "https://a.example", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response, body, why := refuse(tt.method, tt.change, "Origin", tt.origin)
			h := response.Header
			if response.StatusCode != tt.status || why != tt.why || h.Get("Access-Control-Allow-Origin") != tt.allowed ||
				h.Get("Access-Control-Allow-Credentials") != tt.credentials || h.Get("Vary") != "Origin" {
				t.Errorf("%s %v %v", response.Status, why, h)
			}
			switch tt.method {
			case "OPTIONS":
				if tt.status == 204 && !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
					t.Errorf("headers: %v", h)
				}
			case "HEAD":
				if h.Get("Content-Type") != "text/event-stream; charset=utf-8" || body != "" {
					t.Errorf("%v %q", h, body)
				}
			case "POST":
				if h.Get("Allow") != "GET, HEAD, OPTIONS" || h.Get("Belfry-Reason") != "bad_handshake" {
					t.Errorf("headers: %v", h)
				}
			}
		})
	}
}
