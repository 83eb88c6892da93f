package journal

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID is another one after each start of the machine.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := strings.TrimSpace(string(text)); err == nil && id != "" {
		return id
	}
	return noBootID
}

// syncStore writes to disk what the operating system has of the file system
// that dir is on.
func syncStore(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	_ = unix.Syncfs(int(d.Fd())) // what it can't write is the disk's to say
}
