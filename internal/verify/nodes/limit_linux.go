package nodes

import "golang.org/x/sys/unix"

const unlimited = unix.RLIM_INFINITY

// limitFiles bounds how long a running process may make a file. Its hard limit
// stays, so that no right is needed to lift it again. The signal that comes with
// a write that is too long (SIGXFSZ) is ignored by the Go runtime: the write
// fails with EFBIG.
func limitFiles(pid int, bytes uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &now); err != nil {
		return err
	}
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: min(bytes, now.Max), Max: now.Max}, nil)
}
