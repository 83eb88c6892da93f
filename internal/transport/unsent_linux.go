package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel keeps of what one client has not been sent
// yet. Without a bound that is up to net.ipv4.tcp_wmem, 4 MiB, for each client that
// does not read, beside the queue that limits.queue bounds. A line is kept full by
// far less: what is under way does not count. What is kept is copied, page by page,
// just when many clients stop reading, at the cost of those who read.
const unsentBytes = 32 << 10

// BoundUnsent is a net.ListenConfig's Control. The sockets that the listener
// accepts inherit the bound, so that it costs none of them a system call; not so
// where the listener speaks Multipath TCP, which Go's do unless told otherwise.
func BoundUnsent(_, _ string, listener syscall.RawConn) error {
	var err error
	if failed := listener.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	}); failed != nil {
		return failed
	}
	return err
}
