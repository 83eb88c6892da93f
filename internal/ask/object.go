package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// MaxReply bounds a reply, in bytes.
const MaxReply = 64 << 10

// An Object is a reply: a JSON object with its keys as they were written, for
// encoding/json would let "Success" pass for "success" in a struct.
type Object map[string]json.RawMessage

// Parse reads a reply: one JSON object in UTF-8, of at most MaxReply bytes,
// whose success is true or false. A key that comes twice counts as it came
// last; unknown keys are nobody's concern. An error names the key and what is
// wrong with it, never the value.
func Parse(data []byte) (o Object, success bool, err error) {
	switch {
	case len(data) > MaxReply:
		return nil, false, fmt.Errorf("it has %d bytes, at most %d are allowed", len(data), MaxReply)
	case !utf8.Valid(data): // encoding/json would let it pass
		return nil, false, errors.New("it is not UTF-8")
	case !json.Valid(data):
		return nil, false, errors.New("it is not JSON")
	case json.Unmarshal(data, &o) != nil || o == nil:
		return nil, false, errors.New("it is not a JSON object")
	}
	switch string(o["success"]) {
	case "true":
		return o, true, nil
	case "false":
		return o, false, nil
	case "":
		if o["stream"] != nil && o["seq"] != nil {
			return nil, false, errors.New("it is a stream's ack: a JetStream stream captures the subject of the request and answers in the backend's place")
		}
		return nil, false, errors.New("it has no success")
	}
	return nil, false, errors.New("success is neither true nor false")
}

// maxSeconds is a hundred years: beyond it a Duration would overflow.
const maxSeconds = 100 * 365 * 24 * 3600

// Seconds reads a number of seconds, at least 0, fractions allowed; 0 where
// there is none. null is no number: a backend that lost its number must not
// make something that lasts for ever.
func (o Object) Seconds(name string) (time.Duration, error) {
	raw, given := o[name]
	if !given {
		return 0, nil
	}
	var s float64
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &s) != nil {
		return 0, fmt.Errorf("%s is not a number of seconds", name)
	}
	if s < 0 {
		return 0, fmt.Errorf("%s is below 0", name)
	}
	return time.Duration(min(s, maxSeconds) * float64(time.Second)), nil
}
