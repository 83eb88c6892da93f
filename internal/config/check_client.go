package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"belfry/internal/subject"
)

func (l *loading) checkPublic() {
	p := l.Options.Public
	for _, s := range p.Origins {
		if _, err := parseOrigin(s); err != nil {
			remedy := "write https://shop.example.com, http://localhost:8080, or https://*.example.com for all below it"
			if s == "*" {
				remedy = "leave the list empty to allow every origin"
			}
			l.mistake("public.origins", fmt.Sprintf("has %q, which %v", s, err), remedy)
		}
	}
	if p.Cookie != "" {
		if !cookieName(p.Cookie) {
			l.mistake("public.cookie", fmt.Sprintf("is %q, not a cookie's name", p.Cookie), "write the name alone, as session")
		}
		if len(p.Origins) == 0 {
			l.mistake("public.cookie", "is set without public.origins, and a page of any site could connect with its visitor's cookie",
				"list your pages' origins in public.origins", "public.origins")
		}
	}
	l.keyPair("public.tls.cert", p.TLS.Cert, "public.tls.key", p.TLS.Key)
}

func cookieName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

func (l *loading) checkChannels() {
	for _, pattern := range l.Options.Channels.Public {
		if err := checkPattern(pattern); err != nil {
			l.mistake("channels.public", fmt.Sprintf("has %q: %v", pattern, err), "write a channel's name, with * in place of a whole part between dots: news, orders.*")
		}
	}
}

// checkPattern judges a channel's name in which a whole part may be "*".
func checkPattern(pattern string) error {
	parts := strings.Split(pattern, ".")
	for i, part := range parts {
		if part == "*" {
			parts[i] = "x"
		} else if strings.ContainsAny(part, "*>") {
			return fmt.Errorf("%q is not a whole part", part)
		}
	}
	if strings.HasPrefix(pattern, "#") {
		return fmt.Errorf("a user's personal channel can't be public")
	}
	_, err := subject.EncodeName(strings.Join(parts, "."))
	return err
}

// checkReplay judges where clients start. The delivered cursor covers the
// personal channel only.
func (l *loading) checkReplay() {
	if v := l.Options.Replay.Start; !slices.Contains([]string{"cursor", "now", "all"}, v) {
		l.mistake("replay.start", fmt.Sprintf("is %q", v), "write cursor, now or all")
	}
	switch v := l.Options.Replay.StartChannels; v {
	case "now", "all":
	case "cursor":
		l.mistake("replay.start_channels", "is cursor, and Belfry keeps a cursor for users' personal channels only", "write now or all")
	default:
		l.mistake("replay.start_channels", fmt.Sprintf("is %q", v), "write now or all")
	}
	if !l.Options.Durable {
		l.onlyDurable("replay.start", "replay.start_channels")
	}
}

func (l *loading) checkLog() {
	if f := l.Options.Log.Format; f != "text" && f != "json" {
		l.mistake("log.format", fmt.Sprintf("is %q", f), "write text or json")
	}
	if v := l.Options.Log.Level; !slices.Contains([]string{"debug", "info", "warn", "error"}, v) {
		l.mistake("log.level", fmt.Sprintf("is %q", v), "write debug, info, warn or error")
	}
}

func (l *loading) checkData() {
	dir := l.Options.Data
	if dir == "" {
		l.mistake("data", "is empty", "name a directory, as belfry-data or /var/lib/belfry")
		return
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		l.mistake("data", fmt.Sprintf("is %q, not a directory", dir), "name a directory; it is made where there is none")
	}
}
