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
	case s.Replicas > 1 && l.Options.NATS.Clustered():
		if nodes := len(l.Options.NATS.Cluster.Routes); s.Replicas > nodes {
			l.mistake("stream.replicas", fmt.Sprintf("is %d, and nats.cluster.routes names %d nodes", s.Replicas, nodes), "write auto, or run as many nodes and name them all", "nats.cluster.routes")
		}
	case s.Replicas > 1 && embedded:
		l.mistake("stream.replicas", fmt.Sprintf("is %d, and the embedded NATS is one server", s.Replicas), "write auto, form a cluster with nats.cluster, or set nats.url to one", "nats.url", "nats.cluster.name")
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

// A named is a subject that can be renamed.
type named struct {
	key, subject string
	below        bool // subjects stand below it, behind a dot
	beside       bool // and beside it: behind "_" and without a further dot
}

func (l *loading) checkSubjects() {
	s := l.Options.Subjects
	all := []named{
		{key: "subjects.authentication", subject: s.Authentication},
		{key: "subjects.authorization", subject: s.Authorization},
		{key: "subjects.notification", subject: s.Notification, below: true, beside: true},
		{key: "subjects.channel", subject: s.Channel, below: true},
		{key: "subjects.live", subject: s.Live, below: true},
	}
	right := all[:0]
	for _, n := range all {
		if l.checkSubject(n.key, n.subject) {
			right = append(right, n)
		}
	}
	for i, n := range right {
		for _, other := range right[i+1:] {
			if n.meets(other) || other.meets(n) {
				l.mistake(n.key, fmt.Sprintf("is %q, and %s is %q: one message could belong to both", n.subject, other.key, other.subject),
					"take two names that don't begin alike", other.key)
			}
		}
	}
}

// meets tells whether a subject of other's could be one of n's.
func (n named) meets(other named) bool {
	rest, begins := strings.CutPrefix(other.subject, n.subject)
	switch {
	case !begins:
		return false
	case rest == "":
		return true
	case rest[0] == '.':
		return n.below || other.below // the latter would not meet, but mislead
	}
	return n.beside && !other.below && rest[0] == '_' && !strings.Contains(rest, ".")
}

// checkSubject checks one by itself. Belfry's own tokens are for their own
// places: a backend that knows the defaults must not be misled.
func (l *loading) checkSubject(key, s string) bool {
	first, _, _ := strings.Cut(s, ".")
	switch {
	case !plainSubject(s):
		l.mistake(key, fmt.Sprintf("is %q, not a subject", s), "write letters, digits, _ and - with dots between, as authentication or shop.auth")
	case slices.Contains(ownTokens, first) && key != "subjects."+first:
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
