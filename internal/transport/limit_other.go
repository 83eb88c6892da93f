//go:build !unix

package transport

// DefaultConnections is a number that such systems carry without being asked.
func DefaultConnections() int { return 10_000 }
