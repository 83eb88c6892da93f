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
	case json.Valid(payload):
		return JSON
	}
	return Text
}
