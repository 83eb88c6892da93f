package messagechannel

import (
	"encoding/json"
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
