package transport

import (
	"log/slog"
	"testing"
	"time"
	"unsafe"
)

// What the tests of this package look at from outside.

func IsClosing(c *Conn) bool { return c.isClosing() }

func IsLeaving(s *Server) bool {
	s.wheel.mu.Lock()
	defer s.wheel.mu.Unlock()
	return s.wheel.leaving
}

// Tick has time go on by one of Options.Tick, which is long enough then not to
// be over by itself.
func Tick(s *Server) { s.wheel.advance() }

// SetWriteTimeout lasts as long as the test.
func SetWriteTimeout(t testing.TB, d time.Duration) {
	before := writeTimeout
	writeTimeout = d
	t.Cleanup(func() { writeTimeout = before })
}

const ConnSize = unsafe.Sizeof(Conn{})

var HasLoop = func() bool {
	pollers, err := startPollers(1, slog.Default())
	for _, p := range pollers {
		p.close()
	}
	return err == nil && len(pollers) > 0
}()
