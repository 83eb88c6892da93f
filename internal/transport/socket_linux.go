package transport

import "golang.org/x/sys/unix"

// acknowledgedBy is how many bytes the other host's TCP has taken, the low bits.
func acknowledgedBy(fd int) (count uint32, ok bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return uint32(info.Bytes_acked), true
}

// unsentTo is how many bytes it has not taken yet.
func unsentTo(fd int) (bytes int64, ok bool) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return int64(n), err == nil
}
