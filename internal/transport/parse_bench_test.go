package transport

import (
	"bytes"
	"fmt"
	"testing"

	"belfry/internal/reason"
)

type ignore struct{}

func (ignore) Message(Opcode, []byte) {}
func (ignore) Pong([]byte)            {}
func (ignore) Drained()               {}
func (ignore) Timeout()               {}
func (ignore) Closed(reason.Reason)   {}

// A feeder has a connection parse the same client's frame again and again.
type feeder struct {
	conn  *Conn
	frame []byte
	read  []byte // feed changes what it is given
}

func newFeeder(op Opcode, size int) *feeder {
	key := [4]byte{1, 2, 3, 4}
	payload := bytes.Repeat([]byte("x"), size)
	frame := AppendFrame(nil, op, payload)
	frame[1] |= maskBit
	head := len(frame) - size
	unmask(payload, key)
	frame = append(append(frame[:head:head], key[:]...), payload...)
	return &feeder{&Conn{session: ignore{}, readLimit: 64 << 10}, frame, make([]byte, len(frame))}
}

func (f *feeder) feed() {
	copy(f.read, f.frame)
	f.conn.feed(f.read)
}

// BenchmarkFeed is one masked text frame: header, unmasking, UTF-8, hand-over.
func BenchmarkFeed(b *testing.B) {
	for _, size := range []int{8, 64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFeeder(OpText, size)
			b.SetBytes(int64(len(f.frame)))
			b.ReportAllocs()
			for b.Loop() {
				f.feed()
			}
			if f.conn.isClosing() {
				b.Fatal("the frame was refused")
			}
		})
	}
}

// BenchmarkUnmask takes payloads as they lie in what was read: behind a header
// of 6, 8 or 14 bytes, so nearly never where a word begins.
func BenchmarkUnmask(b *testing.B) {
	for _, c := range []struct{ size, offset int }{{8, 0}, {64, 0}, {64, 6}, {125, 3}, {1 << 10, 0}, {1 << 10, 1}, {64 << 10, 0}, {64 << 10, 14}} {
		b.Run(fmt.Sprintf("%d at %d", c.size, c.offset), func(b *testing.B) {
			p := make([]byte, c.offset+c.size)[c.offset:]
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				unmask(p, [4]byte{1, 2, 3, 4})
			}
		})
	}
}
