package transport

import (
	"encoding/binary"
	"unicode/utf8"

	"belfry/internal/reason"
)

// inbound is what has come of a message that is not whole yet. A connection has
// one only while it waits for the rest.
type inbound struct {
	rest    []byte // the start of a frame
	message []byte // the payloads of the fragments so far
	op      Opcode // of the message; opContinuation when no fragment has come
}

// A fault is what a client did wrong, and the code that tells it.
type fault struct {
	why  reason.Reason
	code uint16
	text string
}

func protocolError(text string) *fault {
	return &fault{reason.ProtocolError, CloseProtocol, text}
}

var (
	errUTF8   = &fault{reason.InvalidUTF8, CloseInvalid, "text is not valid UTF-8"}
	errTooBig = &fault{reason.TooBig, CloseTooBig, "message is too big"}
)

// feed parses what was read: it hands on every whole message in b, answers
// control frames, and keeps the start of an unfinished frame. b is changed. It
// is called from one goroutine at a time.
func (c *Conn) feed(b []byte) {
	if c.deaf.Load() { // closing, or a stream, which has nothing to say
		return
	}
	if c.in != nil && len(c.in.rest) > 0 {
		c.in.rest = append(c.in.rest, b...)
		b = c.in.rest
	}
	for len(b) > 0 {
		h, ok := parseHeader(b)
		if fault := c.checkHeader(h, len(b)); fault != nil {
			c.fail(fault)
			return
		}
		if !ok || uint64(len(b)-h.size) < h.length {
			break
		}
		end := h.size + int(h.length)
		payload := b[h.size:end]
		unmask(payload, h.key)
		b = b[end:]
		if fault := c.frame(h, payload); fault != nil {
			c.fail(fault)
			return
		}
		if c.deaf.Load() {
			return
		}
	}
	c.keep(b)
}

// keep stores the start of a frame, or lets go of the buffers if none is left.
func (c *Conn) keep(b []byte) {
	switch {
	case len(b) > 0:
		if c.in == nil {
			c.in = &inbound{}
		}
		c.in.rest = append(c.in.rest[:0], b...)
	case c.in == nil:
	case c.in.op != opContinuation:
		c.in.rest = nil
	default:
		c.in = nil
	}
}

// checkHeader finds what is wrong with a frame as soon as its first two bytes
// are there, so that nothing of a frame that can't be is waited for.
func (c *Conn) checkHeader(h header, have int) *fault {
	if have < 2 {
		return nil
	}
	inMessage := c.in != nil && c.in.op != opContinuation
	switch {
	case h.rsv:
		return protocolError("reserved bits are set")
	case !h.masked:
		return protocolError("frame is not masked")
	case h.op.isControl() && (h.op > opPong || !h.fin):
		return protocolError("control frame is fragmented or unknown")
	case h.op.isControl() && h.length > maxControl:
		return protocolError("control frame is longer than 125 bytes")
	case h.padded:
		return protocolError("length is not in its shortest form")
	case !h.op.isControl() && h.op > OpBinary:
		return protocolError("opcode is reserved")
	case h.op == opContinuation && !inMessage:
		return protocolError("continuation without a message")
	case (h.op == OpText || h.op == OpBinary) && inMessage:
		return protocolError("message inside a message")
	case h.size == 0 || h.op.isControl():
		return nil
	}
	length := h.length
	if inMessage {
		length += uint64(len(c.in.message))
	}
	if h.length > uint64(c.readLimit) || length > uint64(c.readLimit) {
		return errTooBig
	}
	return nil
}

// frame handles one whole, unmasked frame whose header has been checked.
func (c *Conn) frame(h header, payload []byte) *fault {
	switch h.op {
	case opPing:
		c.Write(AppendFrame(nil, opPong, payload)) // bounded: pings from one who does not read, too
		return nil
	case opPong: // an unsolicited one is allowed, and one that was on its way when we closed
		if len(payload) > 0 {
			c.session.Pong(payload)
		}
		return nil
	case opClose:
		return c.closeReceived(payload)
	}
	op, message := h.op, payload
	if h.op == opContinuation || !h.fin {
		if c.in == nil {
			c.in = &inbound{}
		}
		if h.op != opContinuation {
			c.in.op = h.op
		}
		c.in.message = append(c.in.message, payload...)
		if !h.fin {
			return nil
		}
		op, message = c.in.op, c.in.message
		c.in.op, c.in.message = opContinuation, nil
	}
	if op == OpText && !utf8.Valid(message) {
		return errUTF8
	}
	if !c.isClosing() {
		c.session.Message(op, message)
	}
	return nil
}

// closeReceived answers the client's close frame with its own code, or takes it
// as the answer to ours.
func (c *Conn) closeReceived(payload []byte) *fault {
	code := CloseNone
	switch {
	case len(payload) == 1:
		return protocolError("close frame of one byte")
	case len(payload) >= 2:
		code = binary.BigEndian.Uint16(payload)
		if !mayBeReceived(code) {
			return protocolError("close code may not be sent")
		}
		if !utf8.Valid(payload[2:]) {
			return errUTF8
		}
	}
	c.Close(reason.ClientClosed, code, "")
	c.deaf.Store(true)
	c.endWhenWritten()
	return nil
}

// mayBeReceived tells the close codes that an endpoint may put into a frame.
func mayBeReceived(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1014:
		return code != 1004 && code != 1005 && code != 1006
	}
	return false
}
