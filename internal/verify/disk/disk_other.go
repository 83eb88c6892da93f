//go:build !linux

// Package disk makes a process believe that its disk is full. It needs Linux.
package disk

import (
	"fmt"
	"runtime"
)

// Fill fails here.
func Fill(pid int) error {
	return fmt.Errorf("the limits of process %d can't be changed on %s", pid, runtime.GOOS)
}

// Free fails here.
func Free(pid int) error { return Fill(pid) }
