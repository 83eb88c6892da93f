package ask

import (
	"net/netip"
	"strings"

	"github.com/nats-io/nats.go"
)

// Facts is what the backend is told about the connection that asks.
type Facts struct {
	Connection string // tells connections of one gateway apart
	Remote     netip.Addr
	Origin     string // of the page, as the browser says
	UserAgent  string
	Dialect    string
	User       string // who the connection is, once that is known
}

// maxHeader bounds each header's value, in bytes: a client chooses some.
const maxHeader = 256

// Clean returns f as a backend gets it: no CR or LF, 256 bytes each at most.
// Whoever keeps facts keeps clean ones, so that a client can't make it keep
// more.
func (f Facts) Clean() Facts {
	f.Connection, f.Dialect, f.User = clean(f.Connection), clean(f.Dialect), clean(f.User)
	f.Origin, f.UserAgent = clean(f.Origin), clean(f.UserAgent)
	return f
}

// Headers are what every request to a backend carries. All but Belfry-User are
// always there, empty where nothing is known, so that a backend needs no
// second case.
func (f Facts) Headers() nats.Header {
	f = f.Clean()
	remote := ""
	if f.Remote.IsValid() {
		remote = clean(f.Remote.String()) // an IPv6 zone is free text
	}
	h := nats.Header{
		"Belfry-Contract":       {"1"},
		"Belfry-Connection":     {f.Connection},
		"Belfry-Remote-Address": {remote},
		"Belfry-Origin":         {f.Origin},
		"Belfry-User-Agent":     {f.UserAgent},
		"Belfry-Dialect":        {f.Dialect},
	}
	if f.User != "" {
		h["Belfry-User"] = []string{f.User}
	}
	return h
}

var noLineEnds = strings.NewReplacer("\r", "", "\n", "")

// clean keeps a value from ending its header line, and bounds it. A character
// that would be cut in two is left out.
func clean(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		s = noLineEnds.Replace(s)
	}
	if len(s) <= maxHeader {
		return s
	}
	return strings.ToValidUTF8(s[:maxHeader], "")
}
