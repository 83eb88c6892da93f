//go:build linux && !portable

package transport_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// One socket may ask for a page first, and then for a WebSocket.
func TestDoorAndKeepAlive(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	const page = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
	for range 20 {
		c := h.dial()
		c.send([]byte(page))
		c.hears(http.StatusOK)
		c.send([]byte(page))
		c.hears(http.StatusOK)
		c.send([]byte(handshake))
		c.hears(http.StatusSwitchingProtocols)
		c.send(text("hello"))
		c.expect(0x81, "hello")

		// All at once: more than net/http's buffer has room for.
		c = h.dial()
		c.send(slices.Concat([]byte(page), []byte(handshake), text(strings.Repeat("a", 9000)), text("b")))
		c.hears(http.StatusOK)
		c.hears(http.StatusSwitchingProtocols)
		c.expect(0x81, strings.Repeat("a", 9000))
		c.expect(0x81, "b")
	}
}

func TestDoorTellsWhoAsks(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	if at := h.door.Addr().String(); at != h.address {
		t.Errorf("the door's address is %s, want %s", at, h.address)
	}
	for _, path := range []string{"/own/who", "/who"} {
		c := h.dial()
		c.send([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if got, want := c.hears(http.StatusOK), c.nc.LocalAddr().String(); got != want {
			t.Errorf("%s: asked by %s, want %s", path, got, want)
		}
	}
}

func TestDoorCutsSlowHeadsOff(t *testing.T) {
	h := build(t, transport.Options{Tick: 10 * time.Millisecond}, 100*time.Millisecond)
	began := time.Now()
	silent, slow := h.dial(), h.dial()
	slow.send([]byte(handshake[:50]))
	for _, c := range []*client{silent, slow} {
		if b, err := io.ReadAll(c.nc); len(b) > 0 || err != nil {
			t.Errorf("read %q, %v; want the end", b, err)
		}
	}
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("cut off after %v already", took)
	}
	await(t, "them to leave", func() bool { return h.inside.Load() == 0 })
}

func TestDoorSurvivesBugs(t *testing.T) {
	h := build(t, transport.Options{Log: discard}, time.Minute, func(*transport.Conn) transport.Session { panic("a bug") })
	c := h.dial()
	c.send([]byte(handshake))
	c.hears(http.StatusSwitchingProtocols)
	c.expectClose(1011)
	c = h.dial()
	c.send([]byte("GET /own/bug HTTP/1.1\r\nHost: x\r\n\r\n"))
	if b, err := io.ReadAll(c.nc); len(b) > 0 || err != nil {
		t.Errorf("read %q, %v; want the end", b, err)
	}
	c = h.dial() // the loops live
	c.send([]byte("GET /own HTTP/1.1\r\nHost: x\r\n\r\n"))
	c.hears(http.StatusOK)
}

func TestDoorSendsLargeAnswers(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	for _, path := range []string{"/own/large", "/own/wait/large"} {
		c := h.dial()
		c.send([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if body := c.hears(http.StatusOK); body != string(large) {
			t.Errorf("%s: %d bytes of %d", path, len(body), len(large))
		}
	}
}

func TestDoorRefuses(t *testing.T) {
	h := build(t, transport.Options{Connections: 1}, time.Minute)
	first := h.dial()
	first.send([]byte(handshake))
	first.hears(http.StatusSwitchingProtocols)
	c := h.dial()
	c.send([]byte(handshake))
	r, err := http.ReadResponse(c.r, nil)
	if err != nil || r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Belfry-Reason") != "limit" || !r.Close || r.ContentLength <= 0 || r.Header.Get("Date") == "" {
		t.Errorf("%+v, %v", r, err)
	}
	wrong := h.dial()
	wrong.send([]byte(strings.Replace(handshake, "13", "12", 1)))
	wrong.hears(http.StatusUpgradeRequired)
	await(t, "them to leave", func() bool { return h.inside.Load() == 0 })
}

// Clients that go at any moment leave nothing behind.
func TestDoorAndClientsThatGo(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	h.deserted.Store(true) // a response that meets a reset is a handshake that broke off
	had := descriptors(t)
	wait := "GET /own/wait HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, said := range []string{"", handshake[:30], handshake, wait, wait + "and more", "GET /own/wait/stream HTTP/1.1\r\nHost: x\r\n\r\n", "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"} {
		for _, abrupt := range []bool{false, true} {
			c := h.dial()
			c.send([]byte(said))
			var waiting context.Context
			if strings.Contains(said, "/own/wait") {
				waiting = <-h.context
			}
			if abrupt {
				c.nc.(*net.TCPConn).SetLinger(0)
			}
			c.nc.Close()
			if waiting == nil {
				continue
			}
			select {
			case <-waiting.Done():
			case <-time.After(patience):
				t.Fatalf("a handler was not told that its client has gone (abrupt %v)", abrupt)
			}
		}
	}
	await(t, "all to be gone", func() bool {
		return h.inside.Load() == 0 && h.server.Open() == 0 && descriptors(t) <= had
	})
}

// What a client sends while a handler waits does not matter, and does not spin.
func TestDoorAndStreams(t *testing.T) {
	began := make(chan *transport.Conn, 1)
	goOn := make(chan struct{})
	ended := make(chan reason.Reason, 1)
	h := build(t, transport.Options{}, time.Minute, func(c *transport.Conn) transport.Session {
		began <- c
		<-goOn
		c.Write([]byte("block\n"))
		return &echoing{c, ended}
	})
	c := h.dial()
	c.send([]byte("GET /own/wait/stream HTTP/1.1\r\nHost: x\r\n\r\n"))
	<-h.context
	c.send([]byte("more"))
	<-began
	c.send([]byte("still more"))
	close(goOn)
	r, err := http.ReadResponse(c.r, nil)
	if err != nil || r.StatusCode != http.StatusOK || r.Header.Get("X-Test") != "yes" {
		t.Fatalf("%+v, %v", r, err)
	}
	if line, err := bufio.NewReader(r.Body).ReadString('\n'); line != "block\n" {
		t.Fatalf("%q, %v", line, err)
	}
	c.nc.Close()
	select {
	case why := <-ended:
		if why != reason.ClientGone {
			t.Errorf("ended with %v", why)
		}
	case <-time.After(patience):
		t.Error("the end was not noticed")
	}
}

func TestDoorClosesWhoIsThere(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	silent, waiting := h.dial(), h.dial()
	waiting.send([]byte("GET /own/wait?silent HTTP/1.1\r\nHost: x\r\n\r\n"))
	ctx := <-h.context
	await(t, "both to be there", func() bool { return h.inside.Load() == 2 })
	h.door.Deafen()
	if _, err := net.Dial("tcp", h.address); err == nil {
		t.Error("a deaf door accepts")
	}
	if ctx.Err() != nil {
		t.Error("deafening the door cut a client off")
	}
	h.door.Close()
	if n := h.inside.Load(); n != 0 {
		t.Errorf("%d are left", n)
	}
	if b, err := io.ReadAll(silent.nc); len(b) > 0 || err != nil {
		t.Errorf("read %q, %v; want the end", b, err)
	}
	// An empty 200 would be a refusal for ever to an EventSource.
	if b, err := io.ReadAll(waiting.nc); len(b) > 0 || err != nil {
		t.Errorf("who waited read %q, %v; want the end", b, err)
	}
	if _, err := h.door.AcceptSocket(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting: %v", err)
	}
}

func TestDoorWithMany(t *testing.T) {
	h := build(t, transport.Options{}, time.Minute)
	const clients, each = 16, 20
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := range each {
				c := h.dial()
				switch (i + n) % 4 {
				case 0:
					c.send([]byte("GET /page HTTP/1.1\r\nHost: x\r\n\r\n"))
					c.hears(http.StatusOK)
				case 1:
					c.send([]byte("GET /own HTTP/1.1\r\nHost: x\r\n\r\n"))
					c.hears(http.StatusOK)
				default:
					c.send(append([]byte(handshake), text("early")...))
					c.hears(http.StatusSwitchingProtocols)
					c.expect(0x81, "early")
				}
				c.nc.Close()
			}
		})
	}
	all.Wait()
	await(t, "all to be gone", func() bool { return h.inside.Load() == 0 && h.server.Open() == 0 })
}
