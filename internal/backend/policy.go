package backend

import (
	"slices"
	"strings"

	"belfry/internal/ask"
	"belfry/internal/reason"
	"belfry/internal/subject"
)

// A Policy settles who may subscribe to what.
type Policy struct {
	public     [][]string // patterns, by their parts
	authorizer *Authorizer
}

// NewPolicy makes a policy of the patterns of public channels
// (channels.public), in which a part "*" stands for any one part, and of who
// settles everything else.
func NewPolicy(public []string, a *Authorizer) *Policy {
	p := &Policy{authorizer: a}
	for _, pattern := range public {
		p.public = append(p.public, strings.Split(pattern, "."))
	}
	return p
}

// A Decision is what a client's wish to subscribe came to.
type Decision struct {
	// Outcome is Accepted where the client may have all that it asked for. After
	// Refused it need not ask again, after any other it may.
	Outcome ask.Outcome
	// Channel is the one that was not accepted, "" of Accepted.
	Channel string
}

// Reason names why not; None of Accepted.
func (d Decision) Reason() reason.Reason { return reasonFor(d.Outcome) }

// Subscribe settles whether user may subscribe to all of channels, which are
// names as clients write them: any strings. granted are those that the user's
// authentication named (auth.Identity.Channels); f is about the connection.
//
// done is called exactly once unless cancel returned true before; it may be
// called before Subscribe returns, and does where the backend need not be
// asked. It must not block. The first channel that is not accepted decides, and
// the others are not asked about any further.
func (p *Policy) Subscribe(user string, granted, channels []string, f ask.Facts, done func(Decision)) (cancel func() bool) {
	var open []string
	for _, channel := range channels {
		switch p.rule(user, granted, channel) {
		case refused:
			done(Decision{ask.Refused, channel})
			return never
		case unsettled:
			open = append(open, channel)
		}
	}
	if len(open) == 0 {
		done(Decision{})
		return never
	}
	return p.poll(user, open, f, done)
}

type verdict uint8

const (
	unsettled verdict = iota
	allowed
	refused
)

// rule is what is known of one channel without asking. Personal channels end
// here in any case: no pattern and no answer of the backend's opens another
// user's. So does what can't be a channel.
func (p *Policy) rule(user string, granted []string, channel string) verdict {
	owner, personal := strings.CutPrefix(channel, "#")
	switch {
	case subject.CheckChannel(channel) != nil:
		return refused
	case personal && owner == user, slices.Contains(granted, channel):
		return allowed
	case personal:
		return refused
	case p.isPublic(channel):
		return allowed
	}
	return unsettled
}

func (p *Policy) isPublic(channel string) bool {
	if len(p.public) == 0 {
		return false
	}
	parts := strings.Split(channel, ".")
	return slices.ContainsFunc(p.public, func(pattern []string) bool {
		return slices.EqualFunc(pattern, parts, func(want, part string) bool { return want == "*" || want == part })
	})
}
