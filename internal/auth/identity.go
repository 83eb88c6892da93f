package auth

import "time"

// An Identity is who a token stands for.
type Identity struct {
	// User is the user id: an integer's digits, or the string itself.
	User string
	// ExpiresAt is when the identity ends; zero is never.
	ExpiresAt time.Time
	// Channels are those that the user is subscribed to beside its own, where
	// its dialect can tell channels apart: names as subject.CheckChannel has
	// them, other users' personal channels ("#43") among them, each once. nil for
	// none. It is shared; don't change it.
	Channels []string
	// Start settles where a connection without a position begins: "cursor", "now"
	// or "all"; "" where the backend does not say.
	Start string
}

// A Result is an outcome and what came with it.
type Result struct {
	Outcome  Outcome
	Identity Identity // of Accepted
	// Reply is the backend's bytes, unchanged: of Accepted and Refused, where it
	// is one JSON object and therefore UTF-8. It is shared; don't change it.
	Reply []byte
}
