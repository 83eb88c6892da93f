package hub

import (
	"encoding/json"
	"unicode/utf8"
)

// A Class is the kind of a payload, settled once when it arrives, so that no
// dialect sends bytes that would make a client close the connection.
type Class uint8

const (
	Binary Class = iota // not UTF-8
	Text                // UTF-8, not JSON
	JSON                // one JSON value, which is UTF-8 too
)

// Classify tells a payload's class.
func Classify(payload []byte) Class {
	switch {
	case !utf8.Valid(payload):
		return Binary
	case mayBeJSON(payload) && json.Valid(payload):
		return JSON
	}
	return Text
}

// mayBeJSON looks at the first byte that is no white space. json.Valid would find
// the same, but makes an error of it first, which costs four allocations.
func mayBeJSON(payload []byte) bool {
	for _, b := range payload {
		switch b {
		case ' ', '\t', '\r', '\n':
		case '{', '[', '"', '-', 't', 'f', 'n':
			return true
		default:
			return '0' <= b && b <= '9'
		}
	}
	return false
}
