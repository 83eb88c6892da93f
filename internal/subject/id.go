// Package subject spells the NATS subjects, streams and ids that Belfry and a
// backend share.
//
// A user id stands in a subject as one token: as it is where it consists of
// [A-Za-z0-9_-], else as "=" and its unpadded base64url ("a.b@c.d" is
// "=YS5iQGMuZA"). The spelling is reversible, a legal KV key, and the same in
// every language. Only this canonical spelling is delivered.
package subject

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxID is the longest id, in bytes of its encoded form.
const MaxID = 128

// ErrID is what every error about an id wraps.
var ErrID = errors.New("not a valid id")

var raw64 = base64.RawURLEncoding.Strict()

// EncodeUser returns the one subject token that stands for a user id, of at
// most MaxID bytes. It fails for an empty id and for one that is too long.
func EncodeUser(id string) (string, error) { return encode(id, plainUser) }

// DecodeUser returns the user id that a subject token stands for. A token that
// EncodeUser would not have made is an error that names the right spelling
// where there is one.
func DecodeUser(token string) (string, error) { return decode(token, plainUser) }

// EncodeName returns the subject tokens of a channel's or a method's name: its
// parts between dots, each encoded by itself as a user id is, with ":" allowed
// as it stands ("chat:7", "orders.eu"). A name that begins with "#" is an error:
// as a channel that is a user's personal one.
func EncodeName(name string) (string, error) {
	if personal(name) {
		return "", errPersonal(name)
	}
	return eachPart(name, encode)
}

// DecodeName is the reverse of EncodeName.
func DecodeName(tokens string) (string, error) {
	name, err := eachPart(tokens, decode)
	if err == nil && personal(name) {
		return "", errPersonal(name)
	}
	return name, err
}

// CheckChannel says what is wrong with a channel's name as clients and backends
// know it: "#" and a user id, or a name, in UTF-8.
func CheckChannel(channel string) error {
	if !utf8.ValidString(channel) { // in JSON it would become another name
		return fmt.Errorf("%w: %q is not UTF-8", ErrID, channel)
	}
	if user, ok := strings.CutPrefix(channel, "#"); ok {
		_, err := EncodeUser(user)
		return err
	}
	_, err := EncodeName(channel)
	return err
}

func personal(name string) bool { return strings.HasPrefix(name, "#") }

func errPersonal(name string) error {
	return fmt.Errorf("%w: %q begins with #, as users' personal channels do", ErrID, name)
}

func eachPart(s string, do func(string, func(byte) bool) (string, error)) (string, error) {
	parts := strings.Split(s, ".")
	for i, part := range parts {
		done, err := do(part, plainName)
		if err != nil {
			return "", fmt.Errorf("part %d of %q: %w", i+1, s, err)
		}
		parts[i] = done
	}
	joined := strings.Join(parts, ".")
	if len(joined) > MaxID {
		return "", fmt.Errorf("%w: %q is longer than %d bytes", ErrID, s, MaxID)
	}
	return joined, nil
}

func encode(id string, plain func(byte) bool) (string, error) {
	if id == "" {
		return "", fmt.Errorf("%w: it is empty", ErrID)
	}
	token := id
	if !all(id, plain) {
		token = "=" + raw64.EncodeToString([]byte(id))
	}
	if len(token) > MaxID {
		return "", fmt.Errorf("%w: %d bytes in a subject, at most %d are allowed", ErrID, len(token), MaxID)
	}
	return token, nil
}

func decode(token string, plain func(byte) bool) (string, error) {
	coded, isCoded := strings.CutPrefix(token, "=")
	if !isCoded {
		if token != "" && all(token, plain) && len(token) <= MaxID {
			return token, nil
		}
		right, err := encode(token, plain)
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("%w: %q is spelled %q in a subject", ErrID, token, right)
	}
	id, err := raw64.DecodeString(coded)
	if err != nil {
		return "", fmt.Errorf("%w: %q is not unpadded base64url behind the %q", ErrID, token, "=")
	}
	right, err := encode(string(id), plain)
	if err != nil {
		return "", err
	}
	if right != token {
		return "", fmt.Errorf("%w: %q is spelled %q in a subject", ErrID, token, right)
	}
	return string(id), nil
}

func all(s string, ok func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func plainUser(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func plainName(c byte) bool { return plainUser(c) || c == ':' }
