//go:build unix

package transport

import "syscall"

// reservedDescriptors are left for all that is not a client's connection:
// NATS, its store's files, sockets that have not asked for anything yet.
const reservedDescriptors = 512

// DefaultConnections is the process's limit of descriptors less 512, at least 64.
func DefaultConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 - reservedDescriptors
	}
	return max(int(min(limit.Cur, 1<<30))-reservedDescriptors, 64)
}
