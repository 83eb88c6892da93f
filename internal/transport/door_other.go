//go:build !linux || portable

package transport

import "net"

// OpenDoor returns nil: there is no event loop to wait in.
func (s *Server) OpenDoor(net.Listener, DoorOptions) (Door, error) { return nil, nil }
