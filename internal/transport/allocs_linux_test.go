//go:build !race && !portable

package transport_test

import (
	"io"
	"testing"

	"belfry/internal/transport"
)

// A frame that others are sent too, written to a connection for which nothing
// waits: what nearly every delivery is.
func TestAllocsOfAWrite(t *testing.T) {
	b := start(t, transport.Options{})
	client := b.dial()
	conn := b.session(0).conn
	frame := transport.AppendFrame(nil, transport.OpText, make([]byte, 128))
	got := make([]byte, len(frame))
	write := func() {
		conn.Write(frame)
		if _, err := io.ReadFull(client.r, got); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// A message from the socket to its session, through the event loop.
func TestAllocsOfAReadFromTheSocket(t *testing.T) {
	b := start(t, transport.Options{})
	came := make(chan struct{}, 1)
	b.prepare = func(r *recorder) {
		r.echo = false
		r.onMsg = func(transport.Opcode, []byte) { came <- struct{}{} }
	}
	client := b.dial()
	b.session(0)
	message := text("hello")
	read := func() {
		client.send(message)
		<-came
	}
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
