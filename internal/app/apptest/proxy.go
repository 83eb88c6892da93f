package apptest

import (
	"testing"

	"belfry/internal/verify/line"
)

// StartProxy starts a bad line in front of host:port, until the test is over.
func StartProxy(t testing.TB, target string) *line.Proxy {
	t.Helper()
	p, err := line.Listen(target)
	if err != nil {
		t.Fatalf("starting a proxy: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}
