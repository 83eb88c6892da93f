package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func (l *loading) checkStreams() {
	s, embedded := l.Options.Stream, len(l.Options.NATS.URL) == 0
	if !slices.Contains([]string{"create", "update", "never"}, s.Manage) {
		l.mistake("stream.manage", fmt.Sprintf("is %q", s.Manage), "write create, update or never")
	}
	switch {
	case !slices.Contains([]int{0, 1, 3, 5}, s.Replicas):
		l.mistake("stream.replicas", fmt.Sprintf("is %d", s.Replicas), "write auto, 1, 3 or 5")
	case s.Replicas > 1 && embedded:
		l.mistake("stream.replicas", fmt.Sprintf("is %d, and the embedded NATS is one server", s.Replicas), "write auto, or set nats.url to a cluster", "nats.url")
	}
	// NATS sets max_bytes of both streams aside when it creates them.
	if store := l.Options.NATS.MaxStore; embedded && l.Options.Durable && s.MaxBytes > store/2 {
		l.mistake("stream.max_bytes", fmt.Sprintf("is %s for each of two streams, more than nats.max_store has (%s)", formatSize(s.MaxBytes), formatSize(store)),
			"make it smaller, or nats.max_store at least twice as large", "nats.max_store", "nats.url", "durable")
	}
	if !l.Options.Durable {
		l.onlyDurable("stream.manage", "stream.replicas", "stream.max_age", "stream.max_bytes")
	}
}

func (l *loading) onlyDurable(names ...string) {
	for _, name := range names {
		k, _ := Lookup(name)
		if k.plain(l.Options) != k.plain(Default()) {
			l.warn(name, "has no effect: durable is false, nothing is stored", "remove it, or set durable to true")
		}
	}
}

// ownTokens are the first tokens of Belfry's other subjects.
var ownTokens = []string{"channel", "live", "authorization", "rpc", "send", "event", "belfry", "_INBOX"}

func (l *loading) checkSubjects() {
	auth, notification := l.Options.Subjects.Authentication, l.Options.Subjects.Notification
	okAuth := l.checkSubject("subjects.authentication", auth)
	okNotification := l.checkSubject("subjects.notification", notification)
	if !okAuth || !okNotification {
		return
	}
	// Below it stand the users; beside it, behind "_", the legacy names.
	rest, below := strings.CutPrefix(auth, notification)
	if below && (rest == "" || rest[0] == '.' || rest[0] == '_' && !strings.Contains(rest, ".")) || strings.HasPrefix(notification, auth+".") {
		l.mistake("subjects.authentication", fmt.Sprintf("is %q, which a user's notifications on %q.<user> or %q_<user> could meet", auth, notification, notification),
			"take two names that don't begin alike", "subjects.notification")
	}
}

func (l *loading) checkSubject(key, s string) bool {
	first, _, _ := strings.Cut(s, ".")
	switch {
	case !plainSubject(s):
		l.mistake(key, fmt.Sprintf("is %q, not a subject", s), "write letters, digits, _ and - with dots between, as authentication or shop.auth")
	case slices.Contains(ownTokens, first):
		l.mistake(key, fmt.Sprintf("is %q, and %q begins subjects of Belfry's own", s, first), "begin it with another word")
	default:
		return true
	}
	return false
}

var subjectForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// plainSubject tells whether s is tokens of letters, digits, _ and - with dots
// between, of 100 bytes at most.
func plainSubject(s string) bool { return len(s) <= 100 && subjectForm.MatchString(s) }
