//go:build !linux

package transport

import "syscall"

// BoundUnsent is a net.ListenConfig's Control. Here it changes nothing: how much
// the kernel keeps for a client that does not read is the system's own bound.
func BoundUnsent(_, _ string, _ syscall.RawConn) error { return nil }
