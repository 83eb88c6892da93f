// Package disk makes a process believe that its disk is full. It needs Linux.
//
// A limit is set on the running process (RLIMIT_FSIZE): every write on a file
// fails with EFBIG. The signal that comes with it (SIGXFSZ) is ignored by the Go
// runtime. Pipes and sockets go on. A real disk says ENOSPC; a nats-server alone
// takes both in the same way, one in a cluster shuts its JetStream down at
// ENOSPC.
package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Fill has every write on a file fail in a process from now on. Only a process
// that the caller started, and has not waited for, is sure to be the one meant.
func Fill(pid int) error { return limit(pid, 0) }

// Free ends what Fill began.
func Free(pid int) error { return limit(pid, unix.RLIM_INFINITY) }

// limit leaves the hard limit, so that no right is needed to lift it again.
func limit(pid int, bytes uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &now); err != nil {
		return fmt.Errorf("read the file size limit of process %d: %w", pid, err)
	}
	now.Cur = min(bytes, now.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &now, nil); err != nil {
		return fmt.Errorf("limit the file size of process %d: %w", pid, err)
	}
	return nil
}
