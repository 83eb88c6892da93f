//go:build !linux

package nodes

import (
	"errors"
	"runtime"
)

const unlimited = ^uint64(0)

func limitFiles(int, uint64) error {
	return errors.New("a running process's limits can't be changed on " + runtime.GOOS)
}
