// Package payload is what the load generator publishes and receives: JSON of a
// fixed width, so that a receiver finds each field where it must be and parses
// no JSON.
//
//	{"bench":"1a2b3c4d","c":"0000000012","s":"000000000034","t":"0001234567890123456","p":"xxxx"}
//
// bench is the run's seed, c the index of the channel or user, s the sequence
// within it, from 1 (0 is a sentinel, see package load), t the CLOCK_MONOTONIC
// time in ns at which it was published, or was due. p fills it up.
package payload

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	head  = `{"bench":"`
	atC   = len(head) + seedLen + len(sep)
	atS   = atC + cLen + len(sep)
	atT   = atS + sLen + len(sep)
	fixed = atT + tLen // bytes that a receiver looks at
	sep   = `","c":"`
	tail  = `","p":"`
	end   = `"}`

	seedLen, cLen, sLen, tLen = 8, 10, 12, 19

	// Least is the smallest payload, in bytes.
	Least = fixed + len(tail) + len(end)
)

// Key is what every payload has near its beginning, and nothing else that a
// gateway sends.
var Key = []byte(`"bench":"`)

// A Message is what a payload says.
type Message struct {
	Index uint64 // of the channel or user
	Seq   uint64
	At    int64 // ns, CLOCK_MONOTONIC
}

// A Writer makes the payloads of one run.
type Writer struct{ buf []byte }

// NewWriter makes a writer for a seed of 8 hex digits. size is in bytes, from
// Least on.
func NewWriter(seed string, size int) (*Writer, error) {
	if len(seed) != seedLen {
		return nil, fmt.Errorf("the seed %q is not 8 hex digits", seed)
	}
	if size < Least {
		return nil, fmt.Errorf("a payload of %d bytes is too small for what it has to say: %d at least", size, Least)
	}
	b := fmt.Appendf(nil, `%s%s%s%010d","s":"%012d","t":"%019d%s`, head, seed, sep, 0, 0, 0, tail)
	b = append(b, bytes.Repeat([]byte{'x'}, size-Least)...)
	return &Writer{append(b, end...)}, nil
}

// Make returns a payload. It is valid until the next call.
func (w *Writer) Make(m Message) []byte {
	digits(w.buf[atC:atC+cLen], m.Index)
	digits(w.buf[atS:atS+sLen], m.Seq)
	digits(w.buf[atT:atT+tLen], uint64(m.At))
	return w.buf
}

func digits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// A Reader reads the payloads of one run.
type Reader struct{ begin []byte }

// NewReader makes a reader for a seed.
func NewReader(seed string) Reader { return Reader{[]byte(head + seed + sep)} }

// Read reads a payload at the start of b. ours is false for one of another run,
// and for what is none.
func (r Reader) Read(b []byte) (m Message, ours bool) {
	if len(b) < fixed || !bytes.HasPrefix(b, r.begin) {
		return m, false
	}
	c, ok := number(b[atC : atC+cLen])
	s, ok2 := number(b[atS : atS+sLen])
	t, ok3 := number(b[atT : atT+tLen])
	return Message{Index: c, Seq: s, At: int64(t)}, ok && ok2 && ok3
}

// Find is Read for a payload somewhere in b. found is true also for one of
// another run.
func (r Reader) Find(b []byte) (m Message, ours, found bool) {
	i := bytes.Index(b, Key)
	if i < 1 {
		return m, false, false
	}
	m, ours = r.Read(b[i-1:])
	return m, ours, true
}

// number is eight digits at a time: a receiver reads three of these for each of
// some hundred thousand deliveries a second.
func number(b []byte) (n uint64, ok bool) {
	for len(b)%8 != 0 {
		d := b[0] - '0'
		if d > 9 {
			return 0, false
		}
		n, b = n*10+uint64(d), b[1:]
	}
	for ; len(b) > 0; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		if x&0xF0F0F0F0F0F0F0F0 != 0x3030303030303030 || (x+0x0606060606060606)&0xF0F0F0F0F0F0F0F0 != 0x3030303030303030 {
			return 0, false
		}
		x = (x & 0x0F0F0F0F0F0F0F0F) * (10<<8 + 1) >> 8
		x = (x & 0x00FF00FF00FF00FF) * (100<<16 + 1) >> 16
		x = (x & 0x0000FFFF0000FFFF) * (10000<<32 + 1) >> 32
		n = n*100_000_000 + x
	}
	return n, true
}
