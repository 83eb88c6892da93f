package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// tellWithin is how long the server may take to refuse one thing, and
	// answerWithin how long JetStream to answer what was not refused. A backend's
	// answer says nothing here; that there is none comes at once.
	tellWithin   = 5 * time.Second
	answerWithin = 3 * time.Second
	nobodyWithin = 500 * time.Millisecond
)

// Tried is what TryPermissions found.
type Tried struct {
	All []Permission
	// Missing are those that the server refused, by name.
	Missing []Permission
	// Silent are those that it did not refuse and that nobody answered either,
	// as where something on the way (an account's import, a leaf node) holds
	// back the question or the answer.
	Silent []Permission
	// JetStream is false where it does not exist for this account.
	JetStream bool
	// Backend is false where nobody listens for authentication.
	Backend bool
}

// TryPermissions tries every permission that a gateway needs, as the user that
// the bus is connected as. It stores nothing and changes no setting: what would
// is asked in a way that is refused for another reason than permissions. A
// backend that listens is asked about a token and a channel called
// belfry-check. An error means that the connection did not last.
func (b *Bus) TryPermissions(ctx context.Context) (Tried, error) {
	found := Tried{All: GatewayPermissions(b.o), JetStream: true, Backend: true}
	came := make(chan reply, 2*len(found.All)) // none has more than two trials
	waiting, inbox := 0, true
	for _, p := range found.All {
		missing := ""
		for _, t := range p.trials {
			asked, refused, err := b.try(ctx, p, t, came)
			if err != nil {
				return found, fmt.Errorf("try to %s %q: %w", p.Action, t.subject, err)
			}
			missing = cmp.Or(missing, refused)
			if asked {
				waiting++
			}
		}
		if missing != "" {
			p.Subject = missing
			found.Missing = append(found.Missing, p)
			inbox = inbox && !p.inbox
		}
	}
	for ; waiting > 0 && inbox; waiting-- { // without an inbox none comes
		select {
		case r := <-came:
			found.heard(r)
		case <-ctx.Done():
			return found, fmt.Errorf("wait for answers: %w", context.Cause(ctx))
		}
	}
	return found, nil
}

// A reply is what came of a trial.
type reply struct {
	Permission
	trial
	err error
}

// heard takes a reply into account.
func (f *Tried) heard(r reply) {
	nobody := errors.Is(r.err, ErrUnavailable)
	switch {
	case r.asks:
		f.Backend = f.Backend && !nobody
	case !r.answer:
	case nobody:
		f.JetStream = false
	case r.err != nil:
		f.Silent = append(f.Silent, r.Permission)
	}
}

// try does one thing, and says which permission the server missed; else, where
// it is a question, came is told of the answer. The server takes what it is sent
// in order, and refuses before it answers the ping behind: the library has the
// refusal then.
func (b *Bus) try(ctx context.Context, p Permission, t trial, came chan<- reply) (asked bool, missing string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	forget := func() bool { return true }
	if p.Action == MayPublish {
		within := answerWithin
		if !t.answer {
			within = nobodyWithin
		}
		forget = b.Request(&nats.Msg{Subject: t.subject, Header: t.header, Data: []byte(t.data)}, within,
			func(_ *nats.Msg, err error) { came <- reply{p, t, err} })
	} else {
		sub, err := b.nc.Subscribe(t.subject, func(*nats.Msg) {})
		if err != nil {
			return false, "", err
		}
		defer sub.Unsubscribe() //nolint:errcheck // fails only where the connection is closed
	}
	if err := b.nc.FlushWithContext(ctx); err != nil {
		forget()
		return false, "", fmt.Errorf("NATS at %s does not answer: %w", b.url, err)
	}
	missing = p.refused(t, b.nc.LastError())
	if missing != "" && forget() {
		return false, missing, nil
	}
	return p.Action == MayPublish, missing, nil
}

// refused returns the permission's subject that the trial shows to be missing,
// where err says so.
func (p Permission) refused(t trial, err error) string {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return ""
	}
	about := "Publish to %q"
	if p.Action == MaySubscribe {
		about = "Subscription to %q"
	}
	switch text := err.Error(); {
	case strings.Contains(text, fmt.Sprintf(about, t.subject)):
		return p.Subject
	case t.inside != "" && strings.Contains(text, fmt.Sprintf(about, t.inside)):
		return p.Inside
	}
	return ""
}
