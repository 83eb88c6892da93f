package transport

import (
	"log/slog"
	"unsafe"
)

// What the tests of this package look at from outside.

func IsClosing(c *Conn) bool { return c.isClosing() }

func IsLeaving(s *Server) bool {
	s.wheel.mu.Lock()
	defer s.wheel.mu.Unlock()
	return s.wheel.leaving
}

const ConnSize = unsafe.Sizeof(Conn{})

var HasLoop = func() bool {
	pollers, err := startPollers(1, slog.Default())
	for _, p := range pollers {
		p.close()
	}
	return err == nil && len(pollers) > 0
}()
