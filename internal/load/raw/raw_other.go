//go:build !linux

// Package raw reads and writes on descriptors that never wait.
package raw

import "syscall"

// Read is read(2).
func Read(fd int, b []byte) (int, error) { return syscall.Read(fd, b) }

// Write is write(2).
func Write(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
