package journal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that is full while a gateway starts must not look like a loss of power
// when it is tried again.
func TestAMarkerThatCanNotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), markerName)
	for _, before := range []string{"", "boot always 1\n"} {
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/dev/full", path+".next"); err != nil {
			t.Fatal(err)
		}
		if err := writeMarker(path, "boot later 2\n"); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing on a full disk: %v", err)
		}
		if text, err := os.ReadFile(path); string(text) != before || (before == "") != errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is %q, %v; want %q", text, err, before)
		}
	}
	if err := writeMarker(path, "boot later 2\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); string(text) != "boot later 2\n" || err != nil {
		t.Errorf("there is %q, %v", text, err)
	}
}
