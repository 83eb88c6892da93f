package nodes

// Unlimited lifts LimitFiles.
const Unlimited = unlimited

// LimitFiles bounds how long a running process may make a file, in bytes: with 0
// every write on a file fails, as on a full disk. It needs Linux.
func LimitFiles(pid int, bytes uint64) error { return limitFiles(pid, bytes) }
