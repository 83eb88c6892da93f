package eventsource

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"belfry/internal/config"
	"belfry/internal/subject"
)

// maxChannels is how many a request may name.
const maxChannels = 100

// A request is what a client asks for.
type request struct {
	token    []byte // empty where there is none
	channels []string
	// position is from where on, "" where the client brought none. It need not be
	// well-formed.
	position string
	start    string
	device   string
}

// parse reads a request. An error is a sentence for its author: the request
// would be as wrong the next time.
func parse(r *http.Request, public config.Public) (request, error) {
	q := query(r.URL.RawQuery)
	token, err := tokenOf(r, q, public)
	if err != nil {
		return request{}, err
	}
	req := request{
		token:    []byte(token),
		position: r.Header.Get("Last-Event-ID"),
		start:    q.value("start"),
	}
	if req.position == "" {
		req.position = q.value("since")
	}
	switch req.start {
	case "", "cursor", "now", "all":
	default:
		return request{}, errors.New("start is cursor, now or all")
	}
	if req.device, err = DeviceOf(r); err != nil {
		return request{}, err
	}
	req.channels, err = channelsOf(q.value("channels"))
	return req, err
}

// DeviceOf reads the parameter that every dialect's requests may have; "" where
// it is not there. An error is a sentence for the request's author.
func DeviceOf(r *http.Request) (string, error) {
	device := query(r.URL.RawQuery).value("device")
	if device != "" && subject.CheckDevice(device) != nil {
		return "", errors.New("device is 1 to 64 of A-Z, a-z, 0-9, _ and -")
	}
	return device, nil
}

func channelsOf(list string) (channels []string, _ error) {
	if list == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		err := subject.CheckChannel(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("channels has %.200q: %w", name, err)
		case slices.Contains(channels, name):
			continue
		case len(channels) == maxChannels:
			return nil, fmt.Errorf("channels has more than %d names", maxChannels)
		}
		channels = append(channels, name)
	}
	return channels, nil
}

// tokenOf finds the token: in the query, in the Authorization header, in the
// cookie. An empty one is none.
func tokenOf(r *http.Request, q query, public config.Public) (string, error) {
	if token, err := q.literal("token"); token != "" || err != nil {
		return token, err
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if token = strings.TrimSpace(token); token != "" {
			return token, nil
		}
	}
	return cookieOf(r, public), nil
}

// cookieOf is the token in the cookie, where one is configured and the browser
// says that it is a page of an allowed origin, or of the gateway's own, that
// asks. Any site can make its visitors' browsers send a GET with their cookies;
// it could not read the answer, but what was sent would count as delivered.
//
// Frameworks escape a cookie's value, and give it to their own code unescaped:
// so the backend gets it.
func cookieOf(r *http.Request, public config.Public) string {
	if public.Cookie == "" || len(public.Origins) == 0 {
		return ""
	}
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		return ""
	}
	cookie, err := r.Cookie(public.Cookie)
	if err != nil {
		return ""
	}
	if value, err := url.PathUnescape(cookie.Value); err == nil {
		return value
	}
	return cookie.Value
}

// A query is a URL's, as it stands there: net/url would make a space of every +,
// also of those in a token.
type query string

// raw is a parameter's value as it stands, the first where there are several,
// "" where there is none.
func (q query) raw(name string) string {
	for pair := range strings.SplitSeq(string(q), "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key == name {
			return value
		}
	}
	return ""
}

// value is a parameter as forms write it. What is wrongly escaped stays as it
// is, and is judged as what it says then.
func (q query) value(name string) string {
	raw := q.raw(name)
	if value, err := url.QueryUnescape(raw); err == nil {
		return value
	}
	return raw
}

// literal is a parameter in which + is +.
func (q query) literal(name string) (string, error) {
	value, err := url.PathUnescape(q.raw(name))
	if err != nil {
		return "", fmt.Errorf("%s is not escaped as it must be in a URL: %%, & and # are written %%25, %%26 and %%23", name)
	}
	return value, nil
}
