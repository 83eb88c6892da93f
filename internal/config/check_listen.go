package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
)

// listener is one of our own addresses.
type listener struct{ key, addr, host, port string }

func (l *loading) checkListen() {
	var all []listener
	for _, a := range []listener{
		{key: "public.listen", addr: l.Options.Public.Listen},
		{key: "internal.listen", addr: l.Options.Internal.Listen},
		{key: "nats.listen", addr: l.Options.NATS.Listen},
		{key: "nats.cluster.listen", addr: l.Options.NATS.Cluster.Listen},
	} {
		if a.key == "nats.listen" && len(l.Options.NATS.URL) > 0 || a.key == "nats.cluster.listen" && !l.Options.NATS.Clustered() {
			continue // nothing listens there
		}
		var ok bool
		if a.host, a.port, ok = l.hostPort(a.key, a.addr); !ok {
			continue
		}
		for _, b := range all {
			if a.collides(b) {
				l.mistake(a.key, fmt.Sprintf("is %s, the address of %s too", a.addr, b.key), "take another port, or 0 for any free one", b.key)
			}
		}
		all = append(all, a)
	}
}

func (l *loading) hostPort(key, addr string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		remedy := "write it as 127.0.0.1:6003, as :6003 for every address of this machine, or with port 0 for any free one"
		if _, bare := strconv.ParseUint(addr, 10, 16); bare == nil {
			remedy = fmt.Sprintf("write it as 127.0.0.1:%s, or as :%[1]s for every address of this machine", addr)
		}
		l.mistake(key, fmt.Sprintf("is %q, not host:port", addr), remedy)
		return "", "", false
	}
	return host, port, true
}

func (a listener) collides(b listener) bool {
	if a.port != b.port || a.port == "0" {
		return false
	}
	return a.host == b.host || everyAddress(a.host) || everyAddress(b.host) || isLoopbackName(a.host) && isLoopbackName(b.host)
}

func everyAddress(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// isLoopbackName is true for "localhost" and 127.0.0.1, which may be the same.
func isLoopbackName(host string) bool { return host == "localhost" || host == "127.0.0.1" }

// Loopback tells whether only this machine reaches what listens on this
// host:port. An address that can't be read counts as open to all.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopbackHost(host)
}

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// checkExposure refuses what would let any machine publish, read or administer.
func (l *loading) checkExposure() {
	o := l.Options
	if !Loopback(o.Internal.Listen) && o.API.Key == "" {
		l.mistake("internal.listen", fmt.Sprintf("is %q, which other machines reach, and pprof and metrics would be open to them", o.Internal.Listen),
			"set api.key, or listen on 127.0.0.1", "api.key")
	}
	if o.API.Key != "" && len(o.API.Key) < 16 {
		l.mistake("api.key", "is shorter than 16 characters and could be guessed", "make one with: openssl rand -hex 32")
	}
	embedded := len(o.NATS.URL) == 0
	if embedded && !Loopback(o.NATS.Listen) && (o.NATS.User == "" || o.NATS.Password == "") {
		l.mistake("nats.listen", fmt.Sprintf("is %q, which other machines reach, and anyone there could publish, delete the stream and answer authentication", o.NATS.Listen),
			"set nats.user and nats.password, which the embedded NATS then asks for, or listen on 127.0.0.1", "nats.user", "nats.password", "nats.url")
	}
	l.checkDemo()
}

// checkDemo keeps the example backend, whose key everyone can read in its
// source, to this machine.
func (l *loading) checkDemo() {
	o := l.Options
	if !o.Demo {
		return
	}
	if !Loopback(o.Public.Listen) {
		l.mistake("demo", fmt.Sprintf("is on with public.listen %q, which other machines reach, and anyone there could publish through the demo page", o.Public.Listen),
			"listen on 127.0.0.1 (an ssh -L tunnel shows the page elsewhere), or turn demo off", "public.listen")
	}
	if o.NATS.Clustered() && !o.NATS.Cluster.onLoopback() {
		l.mistake("demo", "is on in a cluster that reaches other machines, and its example backend would answer authentication there for tokens that anyone can make",
			"turn demo off, or remove nats.cluster", "nats.cluster.name", "nats.cluster.listen", "nats.cluster.routes")
	}
	for _, s := range o.NATS.URL {
		if u, err := url.Parse(s); err == nil && !loopbackHost(u.Hostname()) {
			l.mistake("demo", fmt.Sprintf("is on with NATS %q on another machine, and its example backend would answer authentication there for tokens that anyone can make", maskURL(s)),
				"turn demo off, or leave nats.url empty", "nats.url")
		}
	}
}
