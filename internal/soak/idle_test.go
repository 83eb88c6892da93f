//go:build soak

package soak

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// idleConnections is what this process's descriptors allow, and a gateway's.
const idleConnections = 19_000

// TestIdleMessageChannel measures a connection's memory, authenticated and on
// its channel.
func TestIdleMessageChannel(t *testing.T) {
	for _, legacy := range []string{"false", "true"} {
		t.Run("legacy "+legacy, func(t *testing.T) {
			g := start(t, "BELFRY_MESSAGECHANNEL_LEGACY="+legacy)
			idle(t, g, "messagechannel", func(nc net.Conn, user int) error {
				fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
				if r, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || r.StatusCode != 101 {
					return fmt.Errorf("handshake: %v", err)
				}
				_, err := nc.Write(append(masked(fmt.Sprintf(`{"type":"AUTH","token":"user:%d"}`, user)), masked(`{"type":"NOTIFICATION"}`)...))
				return err
			})
		})
	}
}

// TestIdleEventSource is the same for an EventSource.
func TestIdleEventSource(t *testing.T) {
	g := start(t, "BELFRY_MESSAGECHANNEL_LEGACY=false")
	idle(t, g, "eventsource", func(nc net.Conn, user int) error {
		if _, err := fmt.Fprintf(nc, "GET /events?token=user:%d HTTP/1.1\r\nHost: x\r\n\r\n", user); err != nil {
			return err
		}
		for lines := bufio.NewScanner(nc); lines.Scan(); {
			switch lines.Text() {
			case "event: position":
				return nil
			case "event: unavailable":
				return errors.New("unavailable")
			}
		}
		return errors.New("the stream ended")
	})
}

func idle(t *testing.T, g *gateway, dialect string, open func(nc net.Conn, user int) error) {
	t.Helper()
	base, cpu := g.rss(), g.cpu()
	all := make([]net.Conn, idleConnections)
	each(idleConnections, 64, func(i int) {
		nc, err := dial(g.addresses.Public, i)
		if err == nil {
			err = open(nc, i)
		}
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
		all[i] = nc
	})
	defer func() {
		for _, nc := range all {
			if nc != nil {
				nc.Close()
			}
		}
	}()
	await(t, "all to be on their channels", func() bool {
		return g.metric("belfry_subscriptions") == idleConnections && g.metric("belfry_catching_up") == 0
	})
	spent := g.cpu() - cpu
	quiet := time.Now().Add(10 * time.Second)
	await(t, "10 s of quiet", func() bool { return time.Now().After(quiet) })
	used := g.rss() - base
	t.Logf("%s: %d idle connections: %.2f KB each (%d KB over the base of %d KB); connect, authenticate and subscribe: %.0f µs CPU each",
		dialect, idleConnections, float64(used)/idleConnections, used, base, float64(spent.Microseconds())/idleConnections)
	if n := g.metric(fmt.Sprintf("belfry_connections{dialect=%q}", dialect)); n != idleConnections {
		t.Errorf("%v connections are left", n)
	}
	if bytes := used * 1024 / idleConnections; bytes > 8<<10 {
		t.Errorf("%d bytes a connection", bytes)
	}
}

// masked is a client's text frame, with a mask of zeros.
func masked(text string) []byte {
	var b strings.Builder
	b.WriteByte(0x81)
	b.WriteByte(0x80 | byte(len(text)))
	b.WriteString("\x00\x00\x00\x00" + text)
	return []byte(b.String())
}
