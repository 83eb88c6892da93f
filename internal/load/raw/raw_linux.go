// Package raw reads and writes without telling Go's scheduler, on descriptors
// that never wait: there is nothing for it to do meanwhile. To tell it cost the
// load generator a wake-up of the runtime's monitor after each sleep, and on a
// busy machine its turn, which it had to get back: a fifth of a delivery.
package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2).
func Read(fd int, b []byte) (int, error) { return call(unix.SYS_READ, fd, b) }

// Write is write(2).
func Write(fd int, b []byte) (int, error) { return call(unix.SYS_WRITE, fd, b) }

func call(number uintptr, fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), failed(e)
}

// Events is epoll_wait(2) without waiting.
func Events(fd int, events []unix.EpollEvent) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), failed(e)
}

// SetTimer is timerfd_settime(2), for a time in ns on the timer's clock.
func SetTimer(fd int, at int64) error {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(at)}
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), unix.TFD_TIMER_ABSTIME, uintptr(unsafe.Pointer(&when)), 0, 0, 0)
	return failed(e)
}

func failed(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
