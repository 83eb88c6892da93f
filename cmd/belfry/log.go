package main

import (
	"io"
	"log/slog"

	"belfry/internal/config"
)

// newLog is the log of a gateway, one line a record. The level can be set
// later, through the variable that comes with it.
func newLog(w io.Writer, o config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, o)
	options := &slog.HandlerOptions{Level: level}
	if o.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// setLevel takes a level that config has checked.
func setLevel(level *slog.LevelVar, o config.Log) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(o.Level)); err == nil {
		level.Set(l)
	}
}
