//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package bus

import (
	"errors"
	"io/fs"
	"os"
)

// acquire makes the file where it is not there. Systems without flock get no
// better: a process that dies leaves the file behind, and somebody has to
// remove it, which the error says.
func acquire(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errHeld
	}
	if err != nil {
		return nil, err
	}
	sign(f)
	return func() {
		f.Close()
		os.Remove(path)
	}, nil
}

func staleRemedy(path string) string {
	return "; if none runs, an earlier one was killed: remove " + path
}
