package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"belfry/internal/subject"
)

// maxReply bounds a reply, in bytes. All of it goes on to the client.
const maxReply = 64 << 10

// A reply is what a backend's bytes say.
type reply struct {
	success   bool
	user      string
	expiresIn time.Duration // 0 is never
	cacheFor  time.Duration // 0 is not at all
}

// A fields is a JSON object with its keys as they were written: encoding/json
// would let "Success" pass for "success" in a struct.
type fields map[string]json.RawMessage

// parse reads a reply. The rules:
//
//   - it is one JSON object in UTF-8, of at most 64 KiB; a key that comes twice
//     counts as it came last; unknown keys are nobody's concern
//   - success is true or false; of a refusal nothing else is looked at
//   - user_id is a string that a subject can carry (subject.EncodeUser), or an
//     integer of at most 2^53 either way, which is its digits. A number counts by
//     its value, as it did in the original: 1.0 and 1e0 are 1, and 1.5 is an error
//   - expires_in is a number above 0, cache_for one of at least 0: seconds,
//     fractions allowed. null is neither: a backend that lost its number must
//     not make an identity that lasts for ever
//   - channels is a list of strings; start is "cursor", "now" or "all"; info is
//     any value. They are checked and not used yet
//
// An error names the key and what is wrong with it, never the value.
func parse(data []byte) (reply, error) {
	f, err := object(data)
	if err != nil {
		return reply{}, err
	}
	var r reply
	switch string(f["success"]) {
	case "true":
		r.success = true
	case "false":
		return r, nil
	case "":
		return r, errors.New("it has no success")
	default:
		return r, errors.New("success is neither true nor false")
	}
	if r.user, err = userID(f["user_id"]); err != nil {
		return r, fmt.Errorf("user_id: %w", err)
	}
	if r.expiresIn, err = f.seconds("expires_in"); err != nil {
		return r, err
	}
	if _, given := f["expires_in"]; given && r.expiresIn == 0 {
		return r, errors.New("expires_in is not above 0")
	}
	if r.cacheFor, err = f.seconds("cache_for"); err != nil {
		return r, err
	}
	return r, f.checkUnused()
}

func object(data []byte) (fields, error) {
	var f fields
	switch {
	case len(data) > maxReply:
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(data), maxReply)
	case !utf8.Valid(data): // encoding/json would let it pass
		return nil, errors.New("it is not UTF-8")
	case !json.Valid(data):
		return nil, errors.New("it is not JSON")
	case json.Unmarshal(data, &f) != nil || f == nil:
		return nil, errors.New("it is not a JSON object")
	case f["success"] == nil && f["stream"] != nil && f["seq"] != nil:
		return nil, errors.New("it is a stream's ack: a JetStream stream captures the authentication subject and answers in the backend's place")
	}
	return f, nil
}

func userID(raw json.RawMessage) (string, error) {
	switch {
	case len(raw) == 0:
		return "", errors.New("it is missing")
	case raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9':
		return integer(string(raw))
	case raw[0] != '"':
		return "", errors.New("it is neither a string nor an integer")
	}
	var id string
	if err := json.Unmarshal(raw, &id); err != nil {
		return "", errors.New("it is not a string")
	}
	// Half a surrogate pair comes out as U+FFFD: two users would become one.
	if strings.ContainsRune(id, utf8.RuneError) {
		return "", errors.New("it has a character that is none")
	}
	_, err := subject.EncodeUser(id)
	return id, err
}

// maxSeconds is a hundred years: beyond it a Duration would overflow.
const maxSeconds = 100 * 365 * 24 * 3600

// seconds reads a number of seconds, at least 0; 0 where there is none.
func (f fields) seconds(name string) (time.Duration, error) {
	raw, given := f[name]
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

// checkUnused checks what later versions will use, so that a backend that is
// wrong today does not fail on the day of an upgrade.
func (f fields) checkUnused() error {
	if raw, given := f["channels"]; given {
		var names []*string // a null is not a name
		if err := json.Unmarshal(raw, &names); err != nil || names == nil {
			return errors.New("channels is not a list of strings")
		}
		for _, name := range names {
			if name == nil {
				return errors.New("channels is not a list of strings")
			}
		}
	}
	if raw, given := f["start"]; given {
		switch string(raw) {
		case `"cursor"`, `"now"`, `"all"`:
		default:
			return errors.New(`start is not "cursor", "now" or "all"`)
		}
	}
	return nil
}

// result is the reply as the client and the dialect see it.
func (r reply) result(data []byte, now time.Time) Result {
	result := Result{Outcome: Refused, Reply: data}
	if r.success {
		result.Outcome = Accepted
		result.Identity.User = r.user
		if r.expiresIn > 0 {
			result.Identity.ExpiresAt = now.Add(r.expiresIn)
		}
	}
	return result
}
