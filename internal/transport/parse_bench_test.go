package transport

import (
	"testing"

	"belfry/internal/reason"
)

type ignore struct{}

func (ignore) Message(Opcode, []byte) {}
func (ignore) Pong([]byte)            {}
func (ignore) Drained()               {}
func (ignore) Timeout()               {}
func (ignore) Closed(reason.Reason)   {}

// BenchmarkFeed is the parsing of one masked text frame of 64 bytes.
func BenchmarkFeed(b *testing.B) {
	c := &Conn{session: ignore{}, readLimit: 64 << 10}
	frame := AppendFrame(nil, OpText, make([]byte, 64))
	frame[1] |= maskBit
	frame = append(frame[:2], append([]byte{0, 0, 0, 0}, frame[2:]...)...) // a key of zeros: the bytes stay
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for range b.N {
		c.feed(frame)
	}
}

func BenchmarkUnmask(b *testing.B) {
	p := make([]byte, 1024)
	b.SetBytes(int64(len(p)))
	for range b.N {
		unmask(p, [4]byte{1, 2, 3, 4})
	}
}
