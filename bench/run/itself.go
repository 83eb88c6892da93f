package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"belfry/bench/report"
)

// itself measures what the machine takes for what every server on it does. It says
// how quiet the machine is, which no server's own figure can.
func itself() (report.Itself, error) {
	var m report.Itself
	const calls = 200_000
	m.SystemCallNS = each(calls, func() {
		for range calls {
			unix.Getppid()
		}
	})
	const pages = 16_384
	page := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, pages*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return m, fmt.Errorf("asking for memory: %w", err)
	}
	defer unix.Munmap(memory)
	m.PageNS = each(pages, func() {
		for i := range pages {
			memory[i*page] = 1
		}
	})
	// Each address depends on what was read before, so that no two are under way.
	const reads = 500_000
	m.MemoryNS = each(reads, func() {
		at := 1
		for range reads {
			at = (at*1_664_525 + 1_013_904_223 + int(memory[at]&1)) & (len(memory) - 1)
		}
		memory[0] = byte(at)
	})
	m.RoundTripNS, err = roundTrip()
	return m, err
}

// roundTrip is a byte to another goroutine over loopback and back.
func roundTrip() (ns float64, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	go func() {
		c, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(struct{ io.Writer }{c}, c) // the plain way, not splice
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	const trips = 5_000
	b := []byte{1}
	ns = each(trips, func() {
		for range trips {
			if _, err = c.Write(b); err == nil {
				_, err = io.ReadFull(c, b)
			}
			if err != nil {
				return
			}
		}
	})
	return ns, err
}

// each is what one of n takes, in nanoseconds.
func each(n int, do func()) float64 {
	began := time.Now()
	do()
	return float64(time.Since(began).Nanoseconds()) / float64(n)
}
