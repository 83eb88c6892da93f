//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package bus

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// acquire takes an flock, which belongs to the open file and so to this
// process alone, and is gone with it however it dies.
func acquire(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, err
	}
	sign(f)
	// The file stays: to remove it would let a third process lock a new one
	// while a second one waits on the old.
	return func() { f.Close() }, nil
}

func staleRemedy(string) string { return "" }
