package app

import (
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/journal"
)

// Subject is the full subject of a channel, "#" and a user id or a name: what a
// backend publishes to, to have it stored.
func Subject(o config.Options, channel string) (string, error) {
	return journal.SubjectOf(bus.NamesOf(o), channel)
}
