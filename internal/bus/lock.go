package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// lockName is the lock's file in the data directory. Two servers can open one
// JetStream store and corrupt it: nats-server itself does not check.
const lockName = "lock"

// errHeld is what acquire returns when another process has the lock.
var errHeld = errors.New("held by another process")

// lockDir makes the data directory, readable by this user only, and takes its
// lock. release gives it back; the kernel does when the process dies (see
// lock_other.go for where it doesn't).
func lockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: make the data directory: %w: give data another directory, or this user the right to write there", ErrMisconfigured, err)
	}
	path := filepath.Join(dir, lockName)
	release, err = acquire(path)
	switch {
	case err == nil:
		return release, nil
	case errors.Is(err, errHeld):
		return nil, fmt.Errorf("%w: data directory %s is in use by another Belfry%s: stop it, or give this one another directory with data (--data)%s",
			ErrMisconfigured, dir, holder(path), staleRemedy(path))
	default:
		return nil, fmt.Errorf("%w: lock the data directory %s: %w: give data a directory on a local disk that this user may write to", ErrMisconfigured, dir, err)
	}
}

// holder names the process that wrote the lock file, where it can be read.
func holder(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return ""
	}
	return " (process " + pid + ")"
}

// sign writes our process id into the lock file, for holder. What fails here
// costs only that hint.
func sign(f *os.File) {
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
}
