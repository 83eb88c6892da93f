//go:build !linux

package receive

import (
	"errors"
	"io"
)

// Serve needs epoll.
func Serve(io.Reader, io.Writer) error { return errors.New("the load generator needs Linux") }
