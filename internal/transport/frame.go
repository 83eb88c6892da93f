package transport

import (
	"encoding/binary"
)

// An Opcode is a WebSocket frame's type (RFC 6455, section 5.2).
type Opcode byte

const (
	opContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	opClose        Opcode = 0x8
	opPing         Opcode = 0x9
	opPong         Opcode = 0xA
)

func (op Opcode) isControl() bool { return op&0x8 != 0 }

// Close codes (RFC 6455, section 7.4.1) that Belfry sends.
const (
	CloseNone     uint16 = 0    // no code in the frame; the client sees 1005
	CloseNormal   uint16 = 1000 // done
	CloseProtocol uint16 = 1002 // the client broke the protocol
	CloseInvalid  uint16 = 1007 // text that is not UTF-8
	ClosePolicy   uint16 = 1008 // too slow, silent, or no token in time
	CloseTooBig   uint16 = 1009 // a message above the read limit
	CloseInternal uint16 = 1011 // a bug of ours
	CloseRestart  uint16 = 1012 // the gateway restarts: come back
)

const (
	finBit     = 0x80
	rsvBits    = 0x70
	opBits     = 0x0F
	maskBit    = 0x80
	maxControl = 125 // payload bytes of a control frame
	maxHeader  = 14
)

// AppendFrame appends a whole, final, unmasked frame to dst.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = append(dst, finBit|byte(op))
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, byte(n))
	case n <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// AppendPing appends a ping frame to dst. An empty payload is the transport's
// own; at most 125 bytes.
func AppendPing(dst, payload []byte) []byte { return AppendFrame(dst, opPing, payload) }

// FrameSize is the number of bytes that AppendFrame appends.
func FrameSize(payload int) int {
	switch {
	case payload <= 125:
		return 2 + payload
	case payload <= 0xFFFF:
		return 4 + payload
	}
	return 10 + payload
}

// closeFrame is a close frame with the code (none for CloseNone) and a text
// that is cut to what a control frame holds.
func closeFrame(code uint16, text string) []byte {
	if code == CloseNone {
		return AppendFrame(nil, opClose, nil)
	}
	text = text[:min(len(text), maxControl-2)]
	return AppendFrame(nil, opClose, append(binary.BigEndian.AppendUint16(nil, code), text...))
}

// header is a client's frame header.
type header struct {
	fin    bool
	op     Opcode
	masked bool
	rsv    bool
	padded bool // the length is not in its shortest form
	key    [4]byte
	length uint64
	size   int // bytes of the header itself
}

// parseHeader reads a header at the start of b; ok is false while b is too
// short to hold it.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	h.fin, h.rsv, h.op = b[0]&finBit != 0, b[0]&rsvBits != 0, Opcode(b[0]&opBits)
	h.masked, h.length, h.size = b[1]&maskBit != 0, uint64(b[1]&^maskBit), 2
	switch h.length {
	case 126:
		if len(b) < 4 {
			return h, false
		}
		h.length, h.size = uint64(binary.BigEndian.Uint16(b[2:])), 4
		h.padded = h.length <= 125
	case 127:
		if len(b) < 10 {
			return h, false
		}
		h.length, h.size = binary.BigEndian.Uint64(b[2:]), 10
		h.padded = h.length <= 0xFFFF
	}
	if h.masked {
		if len(b) < h.size+4 {
			return h, false
		}
		copy(h.key[:], b[h.size:])
		h.size += 4
	}
	return h, true
}

// unmask applies the key to p in place, eight bytes at a time.
func unmask(p []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= key[i&3]
	}
}
