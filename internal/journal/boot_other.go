//go:build !linux

package journal

// bootID is not known: every stop that is not clean counts as one of the
// machine.
func bootID() string { return noBootID }

func syncStore(string) {}
