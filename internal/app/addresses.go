package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Addresses is where a gateway listens, as in DIR/addresses.json.
type Addresses struct {
	Public   string `json:"public"`   // host:port
	Internal string `json:"internal"` // host:port
	NATS     string `json:"nats"`     // URL, without credentials; several with commas
}

func addressesFile(dir string) string { return filepath.Join(dir, "addresses.json") }

// ReadAddresses returns what a ready gateway wrote into its data directory.
func ReadAddresses(dir string) (Addresses, error) {
	var at Addresses
	data, err := os.ReadFile(addressesFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return at, fmt.Errorf("no gateway is ready with the data directory %q (it has no addresses.json): start one with `belfry serve`, or name another directory with --data: %w", dir, err)
	}
	if err != nil {
		return at, fmt.Errorf("reading a gateway's addresses: %w", err)
	}
	if err := json.Unmarshal(data, &at); err != nil {
		return at, fmt.Errorf("reading %q: %w", addressesFile(dir), err)
	}
	return at, nil
}

// writeAddresses writes the file whole or not at all: who reads it meanwhile
// sees the old one or the new one.
func writeAddresses(dir string, at Addresses) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("data: making the directory: %w", err)
	}
	data, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	file, err := os.CreateTemp(dir, ".addresses-*.json")
	if err != nil {
		return fmt.Errorf("data: writing the addresses: %w", err)
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err == nil {
		err = os.Rename(file.Name(), addressesFile(dir))
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("data: writing the addresses: %w", err)
	}
	return nil
}

// removeAddresses removes the file if it is still about this gateway: another
// may have the same directory where NATS is external.
func removeAddresses(dir string, at Addresses) error {
	have, err := ReadAddresses(dir)
	if err != nil || have != at {
		return nil
	}
	return forgetAddresses(dir)
}
