package app

import (
	"net"
	"testing"
	"time"
)

// SetNATSGrace changes how long NATS may be away before /readyz says so.
func SetNATSGrace(a *App, d time.Duration) { a.ready.grace.Store(int64(d)) }

// AddressesFile is where the addresses are.
var AddressesFile = addressesFile

// Dir is the data directory.
func Dir(a *App) string { return a.options.Load().Data }

// SetHeadersWithin changes how long a request's head may take, for gateways
// that are started later in this test.
func SetHeadersWithin(t *testing.T, d time.Duration) {
	old := headersWithin
	headersWithin = d
	t.Cleanup(func() { headersWithin = old })
}

// SetFlushWithin changes how long cursors may take at the end of a gateway.
func SetFlushWithin(t *testing.T, d time.Duration) {
	old := flushWithin
	flushWithin = d
	t.Cleanup(func() { flushWithin = old })
}

// BeyondLoopback has gateways that are started later in this test take every
// address for one that others reach.
func BeyondLoopback(t *testing.T) {
	old := isLoopback
	isLoopback = func(net.Addr) bool { return false }
	t.Cleanup(func() { isLoopback = old })
}
