package config

import (
	"fmt"
	"net/url"
	"strings"

	"belfry/internal/subject"
)

func (l *loading) checkNATS() {
	n := l.Options.NATS
	if err := subject.CheckPrefix(n.Prefix); err != nil {
		l.mistake("nats.prefix", "is not allowed: "+err.Error(), "take the name of the product, as acme or acme-test")
	}
	l.checkURLs()
	if n.InboxPrefix != "" && !plainSubject(n.InboxPrefix) {
		l.mistake("nats.inbox_prefix", fmt.Sprintf("is %q, not a subject", n.InboxPrefix), "write letters, digits, _ and - with dots between, as _INBOX_belfry")
	}
	if n.Domain != "" && !plainSubject(n.Domain) || strings.Contains(n.Domain, ".") {
		l.mistake("nats.domain", fmt.Sprintf("is %q, not the name of a JetStream domain", n.Domain), "write it as the NATS server has it, letters, digits, _ and -")
	}
	if len(n.URL) > 0 {
		l.onlyEmbedded("nats.listen", "nats.sync_interval", "nats.max_store")
		return
	}
	for _, k := range []struct{ key, value string }{
		{"nats.credentials", n.Credentials}, {"nats.nkey", n.NKey}, {"nats.ca", n.CA}, {"nats.cert", n.Cert}, {"nats.key", n.Key},
	} {
		if k.value != "" {
			l.mistake(k.key, "is for an external NATS, and nats.url is empty", "set nats.url, or remove it", "nats.url")
		}
	}
}

// onlyEmbedded warns where something else than the default is set in vain.
func (l *loading) onlyEmbedded(names ...string) {
	for _, name := range names {
		k, _ := Lookup(name)
		if k.plain(l.Options) != k.plain(Default()) {
			l.warn(name, "has no effect: it is for the embedded NATS, and nats.url is set", "configure the external NATS itself")
		}
	}
}

func (l *loading) checkURLs() {
	sockets := 0
	for _, s := range l.Options.NATS.URL {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Hostname() == "":
			l.mistake("nats.url", fmt.Sprintf("has %q, not a URL of a NATS server", maskURL(s)), "write nats://host:4222")
			continue
		case u.Scheme == "ws" || u.Scheme == "wss":
			sockets++
		case u.Scheme != "nats" && u.Scheme != "tls":
			l.mistake("nats.url", fmt.Sprintf("has %q, whose scheme is unknown", maskURL(s)), "write nats://, tls://, ws:// or wss:// before the host")
		}
		if u.User != nil && l.Options.NATS.ways() > 0 {
			l.mistake("nats.url", fmt.Sprintf("has a user in %q beside other credentials", maskURL(s)), "keep one of the two")
		}
	}
	if sockets > 0 && sockets < len(l.Options.NATS.URL) {
		l.mistake("nats.url", "mixes ws:// or wss:// with other servers", "list servers of one kind")
	}
}

// ways counts the ways to say who we are to NATS.
func (n NATS) ways() int {
	count := 0
	for _, v := range []string{n.Credentials, n.NKey, n.User} {
		if v != "" {
			count++
		}
	}
	return count
}

func (l *loading) checkCredentials() {
	n := l.Options.NATS
	if n.ways() > 1 {
		for _, k := range []struct{ key, value string }{{"nats.credentials", n.Credentials}, {"nats.nkey", n.NKey}, {"nats.user", n.User}} {
			if k.value != "" {
				l.mistake(k.key, "is one of several ways to authenticate to NATS", "keep one of nats.credentials, nats.nkey and nats.user")
			}
		}
	}
	if n.Password != "" && n.User == "" {
		l.mistake("nats.password", "is set without nats.user", "set both or neither", "nats.user")
	}
	if n.User != "" && n.Password == "" {
		l.mistake("nats.user", "is set without nats.password", "set both or neither", "nats.password")
	}
	l.readable("nats.credentials", n.Credentials)
	l.readable("nats.nkey", n.NKey)
	l.authorities("nats.ca", n.CA)
	l.keyPair("nats.cert", n.Cert, "nats.key", n.Key)
}

// maskURL is a URL without the password or token that may stand in it. What is
// no URL is cut at its last @.
func maskURL(s string) string {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s
	}
	scheme, _, ok := strings.Cut(s, "://")
	if !ok {
		return "(secret)" + s[i:]
	}
	return scheme + "://(secret)" + s[i:]
}
