//go:build !linux || portable

package transport

import "log/slog"

// socketState is what an event loop would keep in a Conn.
type socketState struct{}

// startPollers has none to start: every connection is a stream.
func startPollers(int, *slog.Logger) ([]poller, error) { return nil, nil }
