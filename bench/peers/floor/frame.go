//go:build linux

package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// RFC 6455.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10

	maxFrame = 64 << 10
	guid     = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// upgrade answers the handshake at the beginning of data and returns its
// length: 0 if it is not whole. No answer means that it is none.
func upgrade(data []byte) (answer []byte, n int) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, 0
	}
	for line := range bytes.SplitSeq(data[:end], []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte("Sec-WebSocket-Key")) {
			continue
		}
		sum := sha1.Sum(append(bytes.Clone(bytes.TrimSpace(value)), guid...))
		answer = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	}
	return answer, end + 4
}

type frame struct {
	opcode  byte
	payload []byte // unmasked, where it was read
}

// parseFrame takes a client's whole, masked frame from the beginning of data
// and returns its length: 0 if it is not whole, -1 if it is wrong or too long.
func parseFrame(data []byte) (f frame, n int) {
	if len(data) < 2 {
		return f, 0
	}
	if data[0]&0x80 == 0 || data[1]&0x80 == 0 { // in parts, or not masked
		return f, -1
	}
	size, header := int(data[1]&0x7f), 2
	switch size {
	case 126:
		if len(data) < 4 {
			return f, 0
		}
		size, header = int(binary.BigEndian.Uint16(data[2:])), 4
	case 127:
		return f, -1
	}
	if size > maxFrame-header-4 {
		return f, -1
	}
	n = header + 4 + size
	if len(data) < n {
		return f, 0
	}
	mask, payload := data[header:header+4], data[header+4:n]
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	return frame{data[0] & 0x0f, payload}, n
}

// appendFrame appends a server's frame.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
