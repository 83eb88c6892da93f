package app

import (
	"context"

	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/load/receive"
	"belfry/internal/verify"
)

type (
	// VerifyOptions are what Verify is to do.
	VerifyOptions = verify.Options
	// VerifyReport is what it has found.
	VerifyReport = verify.Report
	// VerifyTopology is what it does it to.
	VerifyTopology = verify.Topology
)

// The topologies.
const (
	VerifyR1     = verify.R1
	VerifyR3     = verify.R3
	VerifyRemote = verify.Remote
)

// VerifyTokens reads a file of tokens, as Bench takes it, by user.
func VerifyTokens(path string) (map[string]string, error) {
	tokens, users, err := receive.ReadTokens(path)
	if err != nil {
		return nil, err
	}
	by := make(map[string]string, len(users))
	for i, user := range users {
		by[user] = tokens[i]
	}
	return by, nil
}

// Verify tries to break the promise, from outside of any gateway. natsURL is
// where NATS is, for a system that somebody else runs; empty for the one in o.
func Verify(ctx context.Context, o config.Options, natsURL string, v VerifyOptions) (*VerifyReport, error) {
	v.Names = bus.NamesOf(o)
	if err := v.Check(); err != nil {
		return nil, err
	}
	if v.Topology == VerifyRemote {
		dialing, cancel := context.WithTimeout(ctx, dialWithin)
		defer cancel()
		b, err := reach(dialing, o, natsURL)
		if err != nil {
			return nil, err
		}
		defer func() { _ = b.Close(context.WithoutCancel(ctx)) }() // there is no store of ours to lose
		v.NATS = b.Conn()
	}
	return verify.Run(ctx, v)
}
