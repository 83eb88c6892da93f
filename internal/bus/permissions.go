package bus

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"belfry/internal/config"
	"belfry/internal/subject"
)

// A Permission is one right that a NATS user needs.
type Permission struct {
	Action  Action
	Subject string // as in nats-server's configuration, with wildcards
	// Inside is what a server of the JetStream domain takes Subject for before
	// it looks at permissions; a server in front of it, a leaf node, does not.
	// "" where it is the same.
	Inside string
	Why    string // what it is for, a phrase
	// Without is what to do, or what there is not, where it is not granted; ""
	// where Belfry can't do without.
	Without string
	// Optional is set where Belfry runs without it, whatever is configured.
	Optional bool
	// Choice is set where it is more than anyone should be given unasked: it is
	// printed as a comment.
	Choice bool

	trials []trial
	inbox  bool // it is the right to get replies
}

// An Action is what a permission allows.
type Action string

const (
	MayPublish   Action = "publish"
	MaySubscribe Action = "subscribe"
)

// A trial is how a permission is tried without leaving anything behind.
type trial struct {
	subject string // a subject that the permission's matches
	inside  string // what a server of the domain takes it for
	data    string
	header  nats.Header
	answer  bool // JetStream answers it, so that silence means something
	asks    bool // a backend answers it
}

const (
	// checker is what stands for a user, a channel and a token in trials.
	checker = "belfry-check"
	// elsewhere is refused wherever a stream's name stands in what is asked too.
	elsewhere = "belfry-check-of-another-stream"
)

// notStored makes every stream refuse to store a message.
var notStored = nats.Header{"Nats-Expected-Stream": {elsewhere}}

// permissions is a list that grows.
type permissions []Permission

func (l *permissions) add(p Permission, trials ...trial) {
	p.trials = trials
	*l = append(*l, p)
}

// apiPrefix is what the subjects of the JetStream API begin with.
func apiPrefix(domain string) string {
	if domain == "" {
		return "$JS.API."
	}
	return "$JS." + domain + ".API."
}

// withinDomain is what a server of a JetStream domain makes of the subjects of the
// domain's API.
func withinDomain(domain, subject string) string {
	rest, ok := strings.CutPrefix(subject, apiPrefix(domain))
	switch {
	case !ok || domain == "":
		return ""
	case strings.HasPrefix(rest, "$KV."):
		return rest
	}
	return apiPrefix("") + rest
}

// GatewayPermissions are those of the user that a gateway with these options
// connects to NATS as, and no more than it uses. `belfry publish`, `belfry
// epoch rotate` and `belfry check` with the same options need none beyond them.
func GatewayPermissions(o config.Options) []Permission {
	n, l := NamesOf(o), &permissions{}
	l.questions(n)
	if o.Durable {
		l.streams(o, n)
		l.advisories(o)
		l.publications(n, "what the server API and `belfry publish` store, which wait for the stream's ack")
	}
	l.listing(o)
	if o.Demo {
		l.demo(o, n)
	}
	l.replies(o, "replies of the backend and of NATS, acks, and what the streams deliver")
	l.live(o, n)
	for i, p := range *l {
		(*l)[i].Inside = withinDomain(o.NATS.Domain, p.Subject)
		for k, t := range p.trials {
			p.trials[k].inside = withinDomain(o.NATS.Domain, t.subject)
		}
	}
	return *l
}

// questions are what a backend answers.
func (l *permissions) questions(n subject.Names) {
	asked := nats.Header{"Belfry-Contract": {"1"}, "Belfry-Dialect": {"check"}}
	l.add(Permission{Action: MayPublish, Subject: n.Auth(), Why: "asks the backend who a token belongs to"},
		trial{subject: n.Auth(), data: checker, header: asked, asks: true})
	l.add(Permission{Action: MayPublish, Subject: n.Authorization(), Why: "asks the backend who may subscribe to a channel",
		Without: "without it only channels.public and the channels of the authentication reply are open"},
		trial{subject: n.Authorization(), data: `{"user":"` + checker + `","channel":"` + checker + `","action":"subscribe"}`, header: asked})
}

// streams are the two streams, and the bucket of cursors, which is one too.
func (l *permissions) streams(o config.Options, n subject.Names) {
	api, bucket := apiPrefix(o.NATS.Domain), "KV_"+n.Cursors()
	both := []string{n.Notifications(), n.Channels()}
	all := append(both, bucket)
	ask := func(what string, streams []string, data, why, without string) {
		for _, s := range streams {
			on := api + what + s
			l.add(Permission{Action: MayPublish, Subject: on, Why: why, Without: without}, trial{subject: on, data: data, answer: true})
		}
	}
	ask("STREAM.INFO.", all, "", "looks up the streams' settings, state and epoch", "")
	other := `{"name":"` + elsewhere + `"}`
	if o.Stream.Manage != "never" {
		ask("STREAM.CREATE.", all, other, "creates the streams where they do not exist", "stream.manage: never does without it, and leaves creating them to you")
	}
	updated, why := both, "writes a new epoch into the streams' metadata, after a restore for one"
	if o.Stream.Manage == "update" {
		updated, why = all, "keeps the streams' settings as configured, and writes a new epoch into their metadata"
	}
	ask("STREAM.UPDATE.", updated, other, why, "")
	ask("STREAM.MSG.GET.", all, `{"seq":1}`, "asks a stream's leader for a message", "")
	for _, s := range both { // nobody answers where the stream is still to be created
		l.add(Permission{Action: MayPublish, Subject: api + "DIRECT.GET." + s, Why: "reads what was published: the tail, and what a client missed"},
			trial{subject: api + "DIRECT.GET." + s, data: `{"seq":1}`})
	}

	keys := "$KV." + n.Cursors() + "."
	key := keys + checker + ".device"
	got := api + "DIRECT.GET." + bucket + "."
	l.add(Permission{Action: MayPublish, Subject: got + keys + ">", Why: "reads delivered cursors"}, trial{subject: got + key})
	if o.NATS.Domain != "" {
		keys, key = api+keys, api+key
	}
	l.add(Permission{Action: MayPublish, Subject: keys + ">", Why: "writes delivered cursors"}, trial{subject: key, header: notStored})

	for _, s := range both {
		create := api + "CONSUMER.CREATE." + s + "."
		l.add(Permission{Action: MayPublish, Subject: create + "*", Why: "follows the streams, with one short-lived consumer each"},
			trial{subject: create + checker, data: `{"stream_name":"` + elsewhere + `","config":{}}`, answer: true})
	}
}

func (l *permissions) publications(n subject.Names, why string) {
	l.add(Permission{Action: MayPublish, Subject: n.Users(), Why: why},
		trial{subject: strings.TrimSuffix(n.Users(), "*") + checker, header: notStored})
	below := strings.TrimSuffix(n.AllChannels(), ">")
	l.add(Permission{Action: MayPublish, Subject: n.AllChannels(), Why: why},
		trial{subject: below + checker, header: notStored}, trial{subject: below + checker + ".part", header: notStored})
}

// advisories tell of copies that are put back.
func (l *permissions) advisories(o config.Options) {
	if o.Stream.Manage == "never" {
		return
	}
	for _, s := range []string{restoreBegins, restoreEnds} {
		l.add(Permission{Action: MaySubscribe, Subject: s + "*", Optional: true,
			Why:     "sees that a copy of a stream is being restored, and does not make the stream anew meanwhile",
			Without: "without it a restore under running gateways that takes longer than about 5 s fails"},
			trial{subject: s + checker})
	}
}

// listing is asked for with durable: false too: a stream that captures the
// questions to the backend may be anyone's.
func (l *permissions) listing(o config.Options) {
	list := apiPrefix(o.NATS.Domain) + "STREAM.LIST"
	l.add(Permission{Action: MayPublish, Subject: list, Optional: true,
		Why:     "finds a stream of anyone's that would answer questions in the backend's place",
		Without: "without it such a stream is not found, and a start takes about 15 s longer"},
		trial{subject: list, data: `{"subject":"` + checker + `"}`, answer: o.Durable})
}

// replies come into inboxes.
func (l *permissions) replies(o config.Options, why string) {
	inbox := cmp.Or(o.NATS.InboxPrefix, "_INBOX") + "."
	l.add(Permission{Action: MaySubscribe, Subject: inbox + ">", Why: why, inbox: true},
		trial{subject: inbox + checker}, trial{subject: inbox + checker + ".*"})
}

// live is what reaches connections without being stored.
func (l *permissions) live(o config.Options, n subject.Names) {
	all := []string{n.AllLive()}
	if !o.Durable {
		all = append(all, n.Users(), n.AllChannels())
	}
	for _, s := range all {
		l.add(Permission{Action: MaySubscribe, Subject: s, Why: "what is published without being stored"}, trial{subject: s})
	}
	if o.MessageChannel.Legacy {
		l.add(Permission{Action: MaySubscribe, Subject: besideUsers(n),
			Why:     fmt.Sprintf("the original system's naming, %s: NATS has no narrower wildcard for it", legacyForm(n)),
			Without: "messagechannel.legacy: false does without it"},
			trial{subject: legacy(n, checker)})
	}
}

// demo is the example backend, which shares the gateway's connection.
func (l *permissions) demo(o config.Options, n subject.Names) {
	const why = "the example backend of the demo page"
	l.add(Permission{Action: MaySubscribe, Subject: n.Auth(), Why: why}, trial{subject: n.Auth()})
	if o.MessageChannel.Legacy {
		l.add(Permission{Action: MayPublish, Subject: besideUsers(n), Why: why}, trial{subject: legacy(n, checker)})
	}
	if !o.Durable {
		l.publications(n, why)
	}
	l.add(Permission{Action: MayPublish, Subject: cmp.Or(o.NATS.InboxPrefix, "_INBOX") + ".>", Why: why},
		trial{subject: cmp.Or(o.NATS.InboxPrefix, "_INBOX") + "." + checker})
}

// BackendPermissions are those of a backend's user: one that answers for all
// users and publishes to all. Its replies need allow_responses besides.
func BackendPermissions(o config.Options) []Permission {
	n, l := NamesOf(o), &permissions{}
	const why = "notifications and the messages of other channels"
	l.publications(n, why)
	l.add(Permission{Action: MayPublish, Subject: n.AllLive(), Why: "messages that are not stored"})
	if o.MessageChannel.Legacy {
		l.add(Permission{Action: MayPublish, Subject: besideUsers(n), Choice: true,
			Why: fmt.Sprintf("the original system's naming, %s. NATS has no wildcard for it alone:\nthis one allows every subject of as many tokens, so better name those that are used, as %q", legacyForm(n), legacy(n, "42"))})
	}
	l.add(Permission{Action: MaySubscribe, Subject: n.Auth(), Why: "the gateways' questions; any queue group will do"})
	l.add(Permission{Action: MaySubscribe, Subject: n.Authorization(), Why: "the gateways' questions; any queue group will do"})
	l.add(Permission{Action: MaySubscribe, Subject: "_INBOX.>", Why: "the streams' acks; put its own here where its NATS client has another inbox prefix"})
	return *l
}

// besideUsers is the narrowest wildcard for the original system's naming: all
// subjects of as many tokens.
func besideUsers(n subject.Names) string {
	stem := legacy(n, "")
	return stem[:strings.LastIndexByte(stem, '.')+1] + "*"
}

func legacyForm(n subject.Names) string { return legacy(n, "<user>") }

// legacy is LegacyUser for what needs no encoding.
func legacy(n subject.Names, user string) string {
	return strings.TrimSuffix(n.Users(), ".*") + "_" + user
}
