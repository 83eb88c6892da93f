package transport_test

import (
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// TestDrained: the session is told when a client has taken what waited.
func TestDrained(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		await(t, "nothing to wait", s.conn.NotifyDrained)
		for len(s.drained) > 0 {
			<-s.drained
		}
		body := strings.Repeat("x", 8<<20)
		s.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte(body)))
		if s.conn.NotifyDrained() {
			t.Fatal("8 MiB went out to a client that does not read")
		}
		if unsent, _ := s.conn.Unsent(); unsent == 0 {
			t.Error("nothing is unsent")
		}
		c.expect(0x81, body)
		select {
		case <-s.drained:
		case <-time.After(patience):
			t.Fatal("not told")
		}
		await(t, "all to be taken", func() bool { unsent, _ := s.conn.Unsent(); return unsent == 0 })
	})
}

// TestNothingGoesOutAfterClose: what is written then is dropped, so it is neither
// worth reading more for the client nor to be taken for received.
func TestNothingGoesOutAfterClose(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		s.conn.Close(reason.Drain, transport.CloseRestart, "")
		c.expectClose(1012)
		s.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte("dropped")))
		check := func() {
			t.Helper()
			if unsent, _ := s.conn.Unsent(); unsent == 0 || s.conn.NotifyDrained() {
				t.Errorf("%d bytes unsent", unsent)
			}
		}
		check()
		c.send(closing(1012, ""))
		b.closedWith(0, reason.Drain)
		check()
	})
}

// TestDrain closes all with 1012, over the time it was given.
func TestDrain(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		const n = 40
		var wg sync.WaitGroup
		for range n {
			c := b.dial()
			wg.Go(func() {
				c.expectClose(1012)
				c.send(closing(1012, ""))
				c.expectEOF()
			})
		}
		begin := time.Now()
		b.server.Drain(200 * time.Millisecond)
		if took := time.Since(begin); took < 150*time.Millisecond || took > 4*time.Second {
			t.Errorf("drained in %s, asked for 200ms", took)
		}
		wg.Wait()
		if got := b.server.Stats().Closes[reason.Drain]; got != n {
			t.Errorf("%d closed as drain, want %d", got, n)
		}
	})
}

// TestDrainIsEven: in no quarter of the time do many more go than in another, and
// each is sent away in its turn, not all at the end.
func TestDrainIsEven(t *testing.T) {
	const n, over = 400, 800 * time.Millisecond
	b := start(t, transport.Options{})
	var wg sync.WaitGroup
	at := make([]time.Duration, n)
	var begin time.Time
	begun := make(chan struct{})
	for i := range n {
		c := b.dial()
		wg.Go(func() {
			<-begun
			c.expectClose(1012)
			at[i] = time.Since(begin)
			c.send(closing(1012, ""))
			c.expectEOF()
		})
	}
	begin = time.Now()
	close(begun)
	b.server.Drain(over)
	wg.Wait()
	var quarters [4]int
	for _, d := range at {
		quarters[min(3, int(4*d/over))]++
	}
	for _, in := range quarters {
		if in < n/8 || in > n/2 { // n/4, and room for a busy machine
			t.Errorf("sent away by quarters: %v", quarters)
			break
		}
	}
}

// TestIdleOwnsNoGoroutine: the event loop's point.
func TestIdleOwnsNoGoroutine(t *testing.T) {
	if !transport.HasLoop {
		t.Log("no event loop in this build: a goroutine per connection is expected")
		return
	}
	b := start(t, transport.Options{})
	b.dial()
	b.session(0)
	settle := func() int {
		var n int
		await(t, "goroutines to settle", func() bool {
			before := runtime.NumGoroutine()
			time.Sleep(5 * time.Millisecond)
			n = runtime.NumGoroutine()
			return n == before
		})
		return n
	}
	before := settle()
	const n = 200
	for range n {
		b.dial()
	}
	b.session(n)
	if after := settle(); after > before+n/10 {
		t.Errorf("%d goroutines before, %d with %d more connections", before, after, n)
	}
}

// TestHandshakeInPieces: net/http waits for a slow client's handshake.
func TestHandshakeInPieces(t *testing.T) {
	b := start(t, transport.Options{})
	nc, err := net.Dial("tcp", b.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, p := range strings.SplitAfter("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "\n") {
		if _, err := nc.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	b.session(0)
}

// TestDrainInTheMiddleOfAHandshake: a client that has the answer to its handshake,
// and no session yet when the gateway begins to leave, is sent away as all others.
// Drain waits for it.
func TestDrainInTheMiddleOfAHandshake(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.CloseTimeout = 5*time.Millisecond, 200*time.Millisecond
		b := start(t, o)
		took := make(chan time.Duration, 1)
		b.prepare = func(*recorder) {
			began := time.Now()
			b.server.Drain(0) // is over when it has waited in vain
			took <- time.Since(began)
		}
		c := b.dial()
		c.expectClose(1012)
		c.send(closing(1012, ""))
		c.expectEOF()
		if d := <-took; d < o.CloseTimeout {
			t.Errorf("Drain returned after %v, with a connection left", d)
		}
		b.closedWith(0, reason.Drain)
	})
}

// TestAcceptAfterDrain: who comes through to Accept all the same is told.
func TestAcceptAfterDrain(t *testing.T) {
	b := start(t, transport.Options{})
	b.server.Drain(0)
	if status, why := b.refused(); status != 503 || why != "drain" {
		t.Errorf("refused with %d %q", status, why)
	}
	if n := b.server.Open(); n != 0 {
		t.Errorf("%d connections are counted", n)
	}
}

// TestDrainInATick: a connection that the clock is just looking at is sent away
// as all others.
func TestDrainInATick(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick = 5 * time.Millisecond
		b := start(t, o)
		looking, look := make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(look) })
		t.Cleanup(goOn)
		b.prepare = func(s *recorder) {
			s.onTimeout = func() { close(looking); <-look }
			s.conn.SetTimeout(time.Millisecond)
		}
		c := b.dial()
		<-looking
		drained := make(chan struct{})
		go func() { b.server.Drain(0); close(drained) }()
		c.expectClose(1012)
		goOn()
		c.send(closing(1012, ""))
		c.expectEOF()
		<-drained
		b.closedWith(0, reason.Drain)
	})
}

// TestCloseInTheMiddleOfAHandshake: Close ends a client that it did not know of.
func TestCloseInTheMiddleOfAHandshake(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		opening, open := make(chan struct{}), make(chan struct{})
		b.prepare = func(*recorder) { close(opening); <-open }
		c := b.dial()
		<-opening
		closed := make(chan struct{})
		go func() { b.server.Close(); close(closed) }()
		await(t, "Close to be under way", func() bool { return transport.IsLeaving(b.server) })
		close(open)
		for end := false; !end; { // behind a close frame, if that was in time
			_, _, err := c.read()
			end = err != nil
		}
		select {
		case <-closed:
		case <-time.After(4 * time.Second): // it gives up after 5
			t.Error("Close waits")
		}
		b.closedWith(0, reason.Drain)
	})
}
