// Package belfry is what a backend and Belfry have agreed on: subjects, how a
// user id stands in one, and the way to NATS. The names of the environment are
// those of the gateway.
package belfry

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
)

// AuthenticationSubject is where Belfry asks whose a token is.
func AuthenticationSubject() string {
	return subject(cmp.Or(os.Getenv("BELFRY_SUBJECTS_AUTHENTICATION"), "authentication"))
}

// NotificationSubject is the durable subject of a user's notifications.
func NotificationSubject(user string) (string, error) {
	token, err := UserToken(user)
	return subject(cmp.Or(os.Getenv("BELFRY_SUBJECTS_NOTIFICATION"), "notification")) + "." + token, err
}

var plain = regexp.MustCompile(`\A[A-Za-z0-9_-]+\z`)

// UserToken is a user id as one token of a subject: as it stands where it
// consists of [A-Za-z0-9_-], else "=" and its unpadded base64url. Dots, spaces
// and wildcards mean something in a subject, so "a.b@c.d" is "=YS5iQGMuZA".
// Belfry delivers this spelling only.
func UserToken(user string) (string, error) {
	token := user
	if !plain.MatchString(user) {
		token = "=" + base64.RawURLEncoding.EncodeToString([]byte(user))
	}
	if user == "" || len(token) > 128 {
		return "", errors.New("a user id has 1 to 128 bytes as it stands in a subject")
	}
	return token, nil
}

// Connect returns at once and goes on trying, at first and after each break;
// say is told. NATS_URL is "nats://a:4222,nats://b:4222", with user and
// password in it or in NATS_USER and NATS_PASSWORD.
func Connect(say func(format string, args ...any)) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("belfry example (Go)"),
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")), // those of a URL go before
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), // the default gives up after 60
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.IgnoreAuthErrorAbort(), // a password that is being changed mends by itself
		nats.ConnectHandler(func(nc *nats.Conn) { say("connected to %s", nc.ConnectedAddr()) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { say("connected again to %s", nc.ConnectedAddr()) }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { say("NATS is away, trying again") }),
	}
	if ca := os.Getenv("NATS_CA"); ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS_URL: %w", err)
	}
	return nc, nil
}

// subject puts a name behind BELFRY_NATS_PREFIX: "acme" makes
// acme.notification.42.
func subject(name string) string {
	if prefix := os.Getenv("BELFRY_NATS_PREFIX"); prefix != "" {
		return prefix + "." + name
	}
	return name
}
