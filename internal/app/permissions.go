package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"belfry/internal/bus"
	"belfry/internal/config"
)

// leaveWithin is how long a client command takes to part from NATS.
const leaveWithin = 2 * time.Second

// Permissions are the rights of a gateway's and of a backend's NATS user, in
// the syntax of nats-server's configuration.
func Permissions(o config.Options) string { return bus.PermissionsText(o) }

// A Grant is a right of a NATS user.
type Grant struct {
	Action   string // publish or subscribe
	Subject  string
	Why      string
	Without  string // what to do, or what there is not, without it; may be empty
	Optional bool   // a gateway runs without it
}

// A Finding is what CheckNATS found.
type Finding struct {
	NATS    string  // its address, without credentials
	Tried   int     // how many rights
	Missing []Grant // those that NATS refused
	Silent  []Grant // those that it did not refuse, and nobody answered
	Says    []string
	Trouble error // what a gateway would not start with, permissions apart
}

// Lacks says whether a gateway could not do all that it is configured for.
func (f Finding) Lacks() bool {
	for _, g := range f.Missing {
		if !g.Optional {
			return true
		}
	}
	return len(f.Silent) > 0 || f.Trouble != nil
}

// CheckNATS tries everything that a gateway with these options needs of NATS,
// as its user, and leaves nothing behind. natsURL is where NATS is; empty for
// the one in o. It takes a few seconds at most where NATS answers at all.
func CheckNATS(ctx context.Context, o config.Options, natsURL string) (Finding, error) {
	b, err := bus.Dial(ctx, o, natsURL, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return Finding{}, err
	}
	defer func() {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
		defer cancel()
		_ = b.Close(leave) // there is no store of ours to lose
	}()
	tried, err := b.TryPermissions(ctx)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{NATS: b.URL(), Tried: len(tried.All), Missing: grants(tried.Missing), Silent: grants(tried.Silent)}
	switch {
	case !tried.JetStream && o.Durable:
		f.Trouble = errors.New("this account has no JetStream, or its leader is being elected: enable JetStream there, or choose live only with durable: false")
	case !f.Lacks():
		f.Says, f.Trouble = b.Inspect(ctx)
	}
	if !tried.Backend {
		f.Says = append(f.Says, "nobody listens on "+b.Names().Auth()+": no backend is connected")
	}
	return f, nil
}

func grants(all []bus.Permission) []Grant {
	var out []Grant
	for _, p := range all {
		out = append(out, Grant{string(p.Action), p.Subject, p.Why, p.Without, p.Optional})
	}
	return out
}
