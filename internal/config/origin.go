package config

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// OriginAllowed tells whether a page of this origin (the Origin header of a
// handshake) may connect. With no origins configured every page may. A client
// without the header is no browser and could send any: it may too, and what
// counts only with origins, such as a cookie, has to ask for the header.
func (p Public) OriginAllowed(header string) bool {
	if len(p.Origins) == 0 || header == "" {
		return true
	}
	got, err := parseOrigin(header)
	if err != nil || got.wildcard {
		return false
	}
	for _, pattern := range p.Origins {
		if want, err := parseOrigin(pattern); err == nil && want.covers(got) {
			return true
		}
	}
	return false
}

// origin is scheme://host[:port] in parts, in lower case.
type origin struct {
	scheme, host, port string
	wildcard           bool // the host was *.<host>: one or more labels before it
}

func (o origin) covers(got origin) bool {
	if o.scheme != got.scheme || o.port != got.port {
		return false
	}
	if o.wildcard {
		return strings.HasSuffix(got.host, "."+o.host)
	}
	return o.host == got.host
}

var errOrigin = errors.New("is not scheme://host or scheme://host:port")

var defaultPorts = map[string]string{"http": "80", "https": "443"}

func parseOrigin(s string) (origin, error) {
	u, err := url.Parse(strings.ToLower(s))
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != strings.ToLower(s) {
		return origin{}, errOrigin
	}
	o := origin{scheme: u.Scheme, host: u.Hostname(), port: u.Port()}
	o.host, o.wildcard = strings.CutPrefix(o.host, "*.")
	if o.host == "" || strings.Contains(o.host, "*") || strings.HasSuffix(u.Host, ":") {
		return origin{}, errOrigin
	}
	if o.wildcard && net.ParseIP(o.host) != nil {
		return origin{}, errOrigin
	}
	if o.port == "" {
		o.port = defaultPorts[o.scheme]
	}
	return o, nil
}
