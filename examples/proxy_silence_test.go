package examples_test

import (
	"testing"
	"time"
)

// silence is longer than Belfry waits until its ping or heartbeat, 25 s.
const silence = 31 * time.Second

// Connections on which nothing is published outlive the proxy's timeouts, since
// Belfry's pings and heartbeats come before: with its defaults, and timeouts that
// are shortened from 60 s to 28 s so that the test need not be silent for long.
// With timeouts of 2 s the same connections are cut: it is these that count.
func TestProxyLetsSilentConnectionsLive(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	var silent, cut []*viewer
	for _, k := range proxyKinds {
		need(t, k.argv("")[0], k.remedy)
		var changes, short []string
		if k.name != "Caddy" { // has no timeout for what is under way
			changes, short = []string{" 60s", " 28s"}, []string{" 60s", " 2s"}
			p := startProxy(t, k, f.addresses(), short...)
			cut = append(cut, view(t, p, dialects[0], k.name+"-cut-0"), view(t, p, dialects[1], k.name+"-cut-1"))
		}
		p := startProxy(t, k, f.addresses(), changes...)
		silent = append(silent, view(t, p, dialects[0], k.name+"-0"), view(t, p, dialects[1], k.name+"-1"))
	}
	for _, v := range silent {
		eventually(t, v.token+" is let in", func() bool { return v.connections() == 1 })
	}
	began := time.Now()
	for _, v := range cut {
		eventually(t, v.token+" was cut", func() bool { return v.connections() > 1 })
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("short timeouts were not kept: it took %v", took)
	}
	for _, v := range cut {
		v.leave()
	}
	over := time.After(silence - time.Since(began))
	select {
	case <-over:
	case <-t.Context().Done():
	}
	for _, v := range silent {
		f.publish(t, v.token, "still there")
		eventually(t, v.token+" gets a publication", func() bool { return len(v.all()) > 0 })
		if v.connections() != 1 {
			t.Errorf("a silent connection was cut: %s", v.story())
		}
	}
}
