package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"belfry/internal/ask"
	"belfry/internal/subject"
)

// A reply is what a backend's bytes say.
type reply struct {
	success   bool
	user      string
	expiresIn time.Duration // 0 is never
	cacheFor  time.Duration // 0 is not at all
	channels  []string      // nil is none
	start     string        // "" is not said
}

// parse reads a reply. The rules, beside those of ask.Parse:
//
//   - of a refusal nothing else is looked at
//   - user_id is a string that a subject can carry (subject.EncodeUser), or an
//     integer of at most 2^53 either way, which is its digits. A number counts by
//     its value, as it did in the original: 1.0 and 1e0 are 1, and 1.5 is an error
//   - expires_in is a number above 0, cache_for one of at least 0: seconds
//   - channels is a list of channels' names, or "#" and a user id
//     (subject.CheckChannel). They are no patterns: a part "*" or ">" is an error,
//     and not a name that nobody meant
//   - start is "cursor", "now" or "all"
//   - info is any value; it is not used yet
//
// An error names the key and what is wrong with it, never the value.
func parse(data []byte) (reply, error) {
	o, success, err := ask.Parse(data)
	r := reply{success: success}
	if err != nil || !success {
		return r, err
	}
	if r.user, err = userID(o["user_id"]); err != nil {
		return r, fmt.Errorf("user_id: %w", err)
	}
	if r.expiresIn, err = o.Seconds("expires_in"); err != nil {
		return r, err
	}
	if _, given := o["expires_in"]; given && r.expiresIn == 0 {
		return r, errors.New("expires_in is not above 0")
	}
	if r.cacheFor, err = o.Seconds("cache_for"); err != nil {
		return r, err
	}
	if r.channels, err = channels(o["channels"]); err != nil {
		return r, err
	}
	r.start, err = start(o["start"])
	return r, err
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

func channels(raw json.RawMessage) ([]string, error) {
	if raw == nil {
		return nil, nil
	}
	var list []*string // a null is not a name
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, errors.New("channels is not a list of strings")
	}
	var names []string
	for i, name := range list {
		switch {
		case name == nil:
			return nil, errors.New("channels is not a list of strings")
		case strings.ContainsRune(*name, utf8.RuneError):
			return nil, fmt.Errorf("channels: item %d has a character that is none", i+1)
		case isPattern(*name):
			return nil, fmt.Errorf("channels: item %d is a pattern, and must be a channel's name", i+1)
		case subject.CheckChannel(*name) != nil:
			return nil, fmt.Errorf(`channels: item %d is not a channel: a name, or "#" and a user id, of at most %d bytes in a subject`, i+1, subject.MaxID)
		}
		names = append(names, *name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// isPattern tells whether a name has a part that stands for others in NATS, and
// in channels.public.
func isPattern(name string) bool {
	for part := range strings.SplitSeq(name, ".") {
		if part == "*" || part == ">" {
			return true
		}
	}
	return false
}

func start(raw json.RawMessage) (string, error) {
	switch string(raw) {
	case "":
		return "", nil
	case `"cursor"`:
		return "cursor", nil
	case `"now"`:
		return "now", nil
	case `"all"`:
		return "all", nil
	}
	return "", errors.New(`start is not "cursor", "now" or "all"`)
}

// result is the reply as the client and the dialect see it.
func (r reply) result(data []byte, now time.Time) Result {
	result := Result{Outcome: Refused, Reply: data}
	if r.success {
		result.Outcome = Accepted
		result.Identity = Identity{User: r.user, Channels: r.channels, Start: r.start}
		if r.expiresIn > 0 {
			result.Identity.ExpiresAt = now.Add(r.expiresIn)
		}
	}
	return result
}

// until is how long it may be remembered: never longer than the identity
// lasts. A refusal, or no cache_for, takes back what was remembered.
func (r reply) until(result Result, now time.Time) time.Time {
	until := now.Add(r.cacheFor)
	if end := result.Identity.ExpiresAt; !end.IsZero() && end.Before(until) {
		until = end
	}
	return until
}
