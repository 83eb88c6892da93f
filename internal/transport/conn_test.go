package transport_test

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// TestCloseByServer: the code and text, then what the client still sends is
// ignored but for pongs, and the end once it has answered.
func TestCloseByServer(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		b.prepare = func(r *recorder) {
			r.echo = false
			r.onMsg = func(_ transport.Opcode, p []byte) {
				r.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte("last words")))
				r.conn.Close(reason.BadMessage, transport.CloseNone, "")
				r.conn.Close(reason.Slow, transport.ClosePolicy, "the second does not count")
				r.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte("too late")))
				if string(p) != "first" {
					t.Errorf("a message after the close: %q", p)
				}
			}
		}
		c := b.dial()
		c.send(append(text("first"), text("second")...))
		c.expect(0x81, "last words")
		c.expectClose(0)
		c.send(text("third"))
		c.send(frame(0x8A, []byte("the pong that was on its way")))
		c.send(frame(0x88, nil))
		c.expectEOF()
		b.closedWith(0, reason.BadMessage)
		if len(b.session(0).pongs) != 1 {
			t.Error("the pong did not count")
		}
	})
}

// TestCloseUnanswered: a client that never answers is cut off.
func TestCloseUnanswered(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.CloseTimeout = 5*time.Millisecond, 50*time.Millisecond
		b := start(t, o)
		c := b.dial()
		b.session(0).conn.Close(reason.Drain, transport.CloseRestart, "")
		c.expectClose(1012)
		c.expectEOF()
		b.closedWith(0, reason.Drain)
	})
}

// TestClientGone: the socket ends with no close frame.
func TestClientGone(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		b := start(t, o)
		c := b.dial()
		c.send(text("x"))
		c.expect(0x81, "x")
		c.nc.Close()
		b.closedWith(0, reason.ClientGone)
		await(t, "no connection", func() bool { return b.server.Stats().Connections["test"] == 0 })
	})
}

// TestSilence: a ping after silence; a pong keeps the connection, silence ends it.
func TestSilence(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.PingInterval, o.PongTimeout = 5*time.Millisecond, 30*time.Millisecond, 100*time.Millisecond
		b := start(t, o)
		c := b.dial()
		for range 5 {
			c.expect(0x89, "")
			c.send(frame(0x8A, nil))
		}
		c.expect(0x89, "")
		c.expectClose(1008)
		c.expectEOF()
		b.closedWith(0, reason.NoPong)
	})
}

// TestTimeout: the session's own alarm, set, moved and switched off.
func TestTimeout(t *testing.T) {
	b := start(t, transport.Options{Tick: 5 * time.Millisecond})
	b.prepare = func(r *recorder) { r.conn.SetTimeout(20 * time.Millisecond) }
	b.dial()
	s := b.session(0)
	expect := func() {
		t.Helper()
		select {
		case <-s.timeouts:
		case <-time.After(patience):
			t.Fatal("no timeout")
		}
	}
	expect()
	s.conn.SetTimeout(time.Hour)
	s.conn.SetTimeout(10 * time.Millisecond) // sooner than what is set
	expect()
	s.conn.SetTimeout(20 * time.Millisecond)
	s.conn.HastenTimeout(time.Hour)
	expect()
	s.conn.SetTimeout(time.Hour)
	s.conn.HastenTimeout(10 * time.Millisecond)
	expect()
	s.conn.SetTimeout(20 * time.Millisecond)
	s.conn.SetTimeout(0)
	b.prepare = func(r *recorder) { r.conn.SetTimeout(400 * time.Millisecond) } // beyond the wheel's ring
	b.dial()
	select {
	case <-b.session(1).timeouts:
	case <-time.After(patience):
		t.Fatal("no timeout beyond the ring")
	}
	if len(s.timeouts) > 0 {
		t.Error("a timeout that was switched off came")
	}
}

// TestSlowClient: one that does not read is closed as slow, and what it has
// been sent before that is whole and in order.
func TestSlowClient(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Queue = 256 << 10
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		closed := make(chan reason.Reason, 1)
		go func() { closed <- <-s.closed }()
		body := bytes.Repeat([]byte("x"), 1000)
		n := 0
		for ; b.server.Stats().Closes[reason.Slow] == 0 && n < 100_000; n++ {
			body[0] = byte('a' + n%26)
			s.conn.Write(transport.AppendFrame(nil, transport.OpText, body))
			if q := b.server.Stats().QueueBytes; q > o.Queue+2<<10 {
				t.Fatalf("%d bytes queued, the bound is %d", q, o.Queue)
			}
			if n%1000 == 0 && isClosing(s.conn) {
				break
			}
		}
		got := 0
		for {
			first, p, err := c.read()
			if err != nil {
				t.Fatalf("after %d frames: %v", got, err)
			}
			if first == 0x88 {
				break
			}
			if len(p) != len(body) || p[0] != byte('a'+got%26) {
				t.Fatalf("frame %d is %.10q, %d bytes", got, p, len(p))
			}
			got++
		}
		c.send(closing(1008, ""))
		c.nc.Close()
		if why := <-closed; why != reason.Slow {
			t.Errorf("reason %s", why)
		}
		await(t, "an empty queue", func() bool { return b.server.Stats().QueueBytes == 0 })
	})
}

// isClosing tells by a write that goes nowhere: once closed, nothing is queued.
func isClosing(c *transport.Conn) bool { return transport.IsClosing(c) }

// TestLargeMessages: many times the queue's bound in one write goes out, and a
// slow reader gets all of it.
func TestLargeMessages(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Queue = 64 << 10
		b := start(t, o)
		c := b.dial()
		body := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
		s := b.session(0)
		s.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte(body)))
		s.conn.Write(transport.AppendFrame(nil, transport.OpText, []byte("small")))
		c.expect(0x81, body)
		c.expect(0x81, "small")
	})
}

// TestSlowLine: a large message takes many times the pong timeout, and the ping
// waits behind it; a client that takes it bit by bit is there.
func TestSlowLine(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.PingInterval, o.PongTimeout, o.CloseTimeout = 5*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond, 50*time.Millisecond
		b := start(t, o)
		body := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB, more than the system takes in
		message := transport.AppendFrame(nil, transport.OpBinary, []byte(body))
		c := b.dial() // who is silent from here on for long is gone
		b.session(0).conn.Write(message)
		c.r = bufio.NewReaderSize(&slowly{c.nc, time.Now(), 16 << 20}, 64<<10)
		for {
			first, p, err := c.read()
			if err != nil {
				t.Fatalf("reading a frame: %v", err)
			}
			if first == 0x89 { // before the message was written
				c.send(frame(0x8A, nil))
				continue
			}
			if first != 0x82 || string(p) != body {
				t.Fatalf("got frame %#x, %d bytes", first, len(p))
			}
			break
		}
	})
}

// slowly reads no more than so many bytes a second.
type slowly struct {
	io.Reader
	next time.Time
	rate int
}

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Until(s.next))
	n, err := s.Reader.Read(p)
	s.next = time.Now().Add(time.Duration(n) * time.Second / time.Duration(s.rate))
	return n, err
}

// TestManyWriters: whoever writes, frames stay whole and each writer's order
// holds.
func TestManyWriters(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Queue = 64 << 20
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		const writers, each = 8, 2000
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					s.conn.Write(transport.AppendFrame(nil, transport.OpBinary, []byte{byte(w), byte(i >> 8), byte(i)}))
				}
			})
		}
		next := make([]int, writers)
		for range writers * each {
			_, p, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if got := int(p[1])<<8 | int(p[2]); got != next[p[0]] {
				t.Fatalf("writer %d: %d, want %d", p[0], got, next[p[0]])
			}
			next[p[0]]++
		}
		wg.Wait()
	})
}

// TestPanic: a session's bug closes its own connection with 1011.
func TestPanic(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Log = discard
		b := start(t, o)
		b.prepare = func(r *recorder) {
			r.onMsg = func(_ transport.Opcode, p []byte) {
				if string(p) == "boom" {
					panic("boom")
				}
			}
		}
		c := b.dial()
		b.session(0) // the client has its 101 before the session is there
		other := b.dial()
		c.send(text("boom"))
		c.expectClose(1011)
		c.send(closing(1011, ""))
		b.closedWith(0, reason.Internal)
		other.send(text("still here"))
		other.expect(0x81, "still here")
	})
}

// TestLimit: one connection too many gets 503 with the reason, and the place of
// one that left is free again.
func TestLimit(t *testing.T) {
	b := start(t, transport.Options{Connections: 2})
	first := b.dial()
	b.session(0) // the client has its 101 before the session is there
	b.dial()
	if code, why := b.refused(); code != 503 || why != "limit" {
		t.Fatalf("the third got %d %q", code, why)
	}
	first.nc.Close()
	b.closedWith(0, reason.ClientGone)
	await(t, "a free place", func() bool { return b.server.Stats().Connections["test"] == 1 })
	b.dial()
	b.server.SetLimits(3, 0)
	b.dial()
}

// TestManyEndAtOnce: an end that is announced while the loop is handling others
// is not overlooked. The loop once took the announcement for one it had handled.
func TestManyEndAtOnce(t *testing.T) {
	b := start(t, transport.Options{})
	const n, rounds = 64, 30
	for round := range rounds {
		var clients []*client
		for range n {
			clients = append(clients, b.dial())
		}
		b.session((round+1)*n - 1)
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { c.nc.Close() })
		}
		for i := range n {
			wg.Go(func() { b.session(round*n+i).conn.Close(reason.Drain, transport.CloseRestart, "") })
		}
		wg.Wait()
		await(t, "all to end", func() bool { return b.server.Stats().Connections["test"] == 0 })
	}
}

// TestFence: a ping of the session's own comes back with its payload, and
// silence after it ends the connection as soon as after the transport's.
func TestFence(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.PongTimeout = 5*time.Millisecond, 100*time.Millisecond
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		s.conn.Write(transport.AppendPing(transport.AppendFrame(nil, transport.OpText, []byte("x")), []byte("7")))
		s.conn.ExpectPong()
		c.expect(0x81, "x")
		c.expect(0x89, "7")
		c.send(frame(0x8A, []byte("7")))
		if got := <-s.pongs; got != "7" {
			t.Errorf("pong %q", got)
		}
		s.conn.ExpectPong()
		c.expectClose(1008)
		b.closedWith(0, reason.NoPong)
	})
}

// TestAnsweredFence: how long a pong may take is counted from its own ping, not
// from one before that was answered.
func TestAnsweredFence(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		const within = 10
		o.Tick, o.PingInterval, o.PongTimeout = time.Hour, 100*time.Hour, within*time.Hour
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		s.conn.ExpectPong()
		s.conn.Write(transport.AppendPing(nil, []byte("1")))
		c.expect(0x89, "1")
		await(t, "the ping to be acknowledged", func() bool { unsent, _ := s.conn.Unsent(); return unsent == 0 })
		transport.Tick(b.server) // sees that a pong is expected
		c.send(frame(0x8A, []byte("1")))
		<-s.pongs
		for range within - 2 {
			transport.Tick(b.server)
		}
		s.conn.ExpectPong()
		for range within - 1 {
			transport.Tick(b.server)
			if transport.IsClosing(s.conn) {
				t.Fatal("closed before its time")
			}
		}
		transport.Tick(b.server)
		c.expectClose(1008)
		b.closedWith(0, reason.NoPong)
	})
}

// TestPromptPong: a pong that is read before the write of its ping returns counts.
func TestPromptPong(t *testing.T) {
	bothWays(t, func(t *testing.T, o transport.Options) {
		o.Tick, o.PongTimeout = 2*time.Millisecond, 30*time.Millisecond
		b := start(t, o)
		c := b.dial()
		s := b.session(0)
		for range 500 {
			s.conn.ExpectPong()
			s.conn.Write(transport.AppendPing(nil, []byte("7")))
			c.expect(0x89, "7")
			c.send(frame(0x8A, []byte("7")))
			<-s.pongs
		}
		over := time.Now().Add(5 * o.PongTimeout)
		await(t, "the time for a pong to be over", func() bool { return time.Now().After(over) })
		if len(s.closed) > 0 {
			t.Errorf("closed with reason %s", <-s.closed)
		}
	})
}
