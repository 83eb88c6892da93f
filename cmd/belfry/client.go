package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"belfry/internal/app"
)

// addresses reads where the gateway with this data directory is.
func addresses(dir, otherwise string) (app.Addresses, error) {
	a, err := app.ReadAddresses(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no gateway has left its addresses in %s: start one with \"belfry serve\" or \"belfry demo\", name its directory with --data, or %s",
			filepath.Join(dir, "addresses.json"), otherwise)
	}
	return a, err
}
