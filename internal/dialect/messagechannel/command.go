package messagechannel

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// A command is what a client's message asks for: authentication where it has a
// token, else notifications.
type command struct {
	token []byte
}

// parse reads a client's message. The token is a copy.
//
// The keys are read into a map: encoding/json would let "Type" pass for "type"
// in a struct. A key that comes twice counts as it came last, as in the
// original.
func parse(message []byte) (command, *problem) {
	if c, ok := written(message); ok {
		return c, nil
	}
	if !utf8.Valid(message) || !json.Valid(message) {
		return command{}, notJSON
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(message, &fields) != nil {
		return command{}, noType // an array, a string, a number, a boolean
	}
	kind, given := fields["type"]
	if !given {
		return command{}, noType
	}
	switch name, _ := text(kind); name {
	case "AUTH":
		token, _ := text(fields["token"])
		if token == "" {
			return command{}, noToken
		}
		return command{[]byte(token)}, nil
	case "NOTIFICATION":
		return command{}, nil
	}
	return command{}, unknownType
}

// text is a JSON string's value; false for every other value and for none.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// written recognizes the two commands as JSON.stringify and the original's pages
// write them. Nearly every message is one of these, and reading them as JSON took
// an eighth of what a connection costs to come.
func written(message []byte) (c command, ok bool) {
	if string(message) == `{"type":"NOTIFICATION"}` {
		return command{}, true
	}
	token, auth := bytes.CutPrefix(message, []byte(`{"type":"AUTH","token":"`))
	token, whole := bytes.CutSuffix(token, []byte(`"}`))
	if !auth || !whole || len(token) == 0 || slices.ContainsFunc(token, notPlain) {
		return command{}, false
	}
	return command{bytes.Clone(token)}, true
}

// notPlain tells the bytes that stand for something else in a JSON string, or
// may not stand there, and those of which the whole has to be looked at.
func notPlain(b byte) bool { return b < ' ' || b > '~' || b == '"' || b == '\\' }
