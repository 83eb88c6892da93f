package subject

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names are the subjects and streams of one product: one prefix, one set of
// names. Gateways with different prefixes share a NATS and never see each
// other. The zero value has no names; take them from Default.
type Names struct {
	// Prefix stands before every subject ("acme" makes acme.notification.42)
	// and every stream and bucket (acme_BELFRY_NOTIFICATIONS). Empty for none.
	Prefix string
	// Authentication is the subject that a token is sent to, without prefix.
	Authentication string
	// Notification is what stands before ".<user>" for a user's durable
	// personal channel and before "_<user>" in the original system's naming.
	Notification string

	// The others are named by their methods, Authorization, Channel and Live,
	// which a field can't share a name with.

	// AuthorizationName is the subject of questions about who may do what.
	AuthorizationName string
	// ChannelName is what stands before ".<name>" for any other channel, durable.
	ChannelName string
	// LiveName is what stands before ".<name>" for the same channels, not stored.
	LiveName string
}

// Default returns the default names behind a prefix.
func Default(prefix string) Names {
	return Names{
		Prefix:            prefix,
		Authentication:    "authentication",
		Notification:      "notification",
		AuthorizationName: "authorization",
		ChannelName:       "channel",
		LiveName:          "live",
	}
}

// maxDevice is the longest name of a device, in bytes.
const maxDevice = 64

var (
	prefixForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	ownTokens  = []string{"notification", "channel", "live", "authentication", "authorization", "rpc", "send", "event", "belfry"}
)

// CheckPrefix says what is wrong with a prefix; "" is right and means none.
func CheckPrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case !prefixForm.MatchString(prefix):
		return fmt.Errorf("prefix %q: 1 to 32 of a-z, 0-9 and -, not - at first", prefix)
	case slices.Contains(ownTokens, prefix):
		return fmt.Errorf("prefix %q: is a subject of Belfry's own, take another word", prefix)
	}
	return nil
}

// Auth is the full subject of authentication requests.
func (n Names) Auth() string { return n.subject(n.Authentication) }

// Authorization is the full subject of authorization requests.
func (n Names) Authorization() string { return n.subject(n.AuthorizationName) }

// User is the full subject of a user's personal channel (durable). The user is
// an id as authentication returned it, not yet encoded.
func (n Names) User(user string) (string, error) {
	token, err := EncodeUser(user)
	return n.subject(n.Notification) + "." + token, err
}

// Users is the wildcard that matches every user's personal channel.
func (n Names) Users() string { return n.subject(n.Notification) + ".*" }

// LegacyUser is the full subject of a user's notifications in the original
// system's naming: core NATS, live only.
func (n Names) LegacyUser(user string) (string, error) {
	token, err := EncodeUser(user)
	return n.subject(n.Notification) + "_" + token, err
}

// UserOf returns the user id in a subject that Users matches.
func (n Names) UserOf(subject string) (string, error) {
	token, ok := strings.CutPrefix(subject, n.subject(n.Notification)+".")
	if !ok {
		return "", fmt.Errorf("%w: %q is not below %q", ErrID, subject, n.Users())
	}
	return DecodeUser(token)
}

// Notifications is the stream of the personal channels.
func (n Names) Notifications() string { return n.stream("BELFRY_NOTIFICATIONS") }

// Channels is the stream of the other channels.
func (n Names) Channels() string { return n.stream("BELFRY_CHANNELS") }

// Channel is the full subject of another channel than a personal one (durable),
// by its name, not yet encoded.
func (n Names) Channel(name string) (string, error) {
	tokens, err := EncodeName(name)
	return n.subject(n.ChannelName) + "." + tokens, err
}

// AllChannels is the wildcard of all other channels (durable).
func (n Names) AllChannels() string { return n.subject(n.ChannelName) + ".>" }

// ChannelOf returns the name in a subject that AllChannels matches.
func (n Names) ChannelOf(subject string) (string, error) {
	return nameBelow(n.subject(n.ChannelName), subject)
}

// Live is the full subject on which something is published on a channel without
// being stored: core NATS. A name, as for Channel.
func (n Names) Live(name string) (string, error) {
	tokens, err := EncodeName(name)
	return n.subject(n.LiveName) + "." + tokens, err
}

// AllLive is the wildcard of all live subjects.
func (n Names) AllLive() string { return n.subject(n.LiveName) + ".>" }

// LiveOf returns the name in a subject that AllLive matches.
func (n Names) LiveOf(subject string) (string, error) {
	return nameBelow(n.subject(n.LiveName), subject)
}

func nameBelow(stem, subject string) (string, error) {
	tokens, ok := strings.CutPrefix(subject, stem+".")
	if !ok {
		return "", fmt.Errorf("%w: %q is not below %q", ErrID, subject, stem+".>")
	}
	return DecodeName(tokens)
}

// Cursors is the KV bucket of the users' delivered cursors. Its stream is
// "KV_" and this name.
func (n Names) Cursors() string { return n.stream("BELFRY_CURSORS") }

// Cursor is the key of a user's delivered cursor, or of one device's of the
// user where device is not empty. A device is 1 to 64 of [A-Za-z0-9_-].
func (n Names) Cursor(user, device string) (string, error) {
	token, err := EncodeUser(user)
	if err != nil || device == "" {
		return token, err
	}
	if err := CheckDevice(device); err != nil {
		return "", err
	}
	return token + "." + device, nil
}

// CheckDevice says what is wrong with the name of a user's device.
func CheckDevice(device string) error {
	if device == "" || len(device) > maxDevice || !all(device, plainUser) {
		return fmt.Errorf("%w: a device is 1 to %d of A-Z, a-z, 0-9, _ and -", ErrID, maxDevice)
	}
	return nil
}

// Requests are the subjects on which a backend answers the gateway. A stream
// that captured one would answer in the backend's place.
func (n Names) Requests() []string {
	return []string{n.Auth(), n.Authorization(), n.subject("send"), n.subject("rpc") + ".>"}
}

func (n Names) subject(s string) string {
	if n.Prefix == "" {
		return s
	}
	return n.Prefix + "." + s
}

func (n Names) stream(s string) string {
	if n.Prefix == "" {
		return s
	}
	return n.Prefix + "_" + s
}
