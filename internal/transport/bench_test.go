package transport_test

import (
	"io"
	"testing"

	"belfry/internal/transport"
)

// BenchmarkEcho is one small message there and back over loopback: read, parse,
// unmask, hand over, write, and the client's half of it.
func BenchmarkEcho(b *testing.B) {
	bench := start(b, transport.Options{})
	c := bench.dial()
	out, in := text("hello, how are you today?"), make([]byte, 27)
	b.ReportAllocs()
	for range b.N {
		c.send(out)
		if _, err := io.ReadFull(c.r, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is one frame of 128 bytes to one of 1,000 connections, whose
// clients read as fast as they can.
func BenchmarkWrite(b *testing.B) {
	bench := start(b, transport.Options{Queue: 64 << 20})
	const n = 1000
	for range n {
		c := bench.dial()
		go io.Copy(io.Discard, c.nc)
	}
	bench.session(n - 1)
	frame := transport.AppendFrame(nil, transport.OpText, make([]byte, 128))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		bench.sessions[i%n].conn.Write(frame)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	payload, dst := make([]byte, 128), make([]byte, 0, 256)
	b.ReportAllocs()
	for range b.N {
		dst = transport.AppendFrame(dst[:0], transport.OpText, payload)
	}
}
