//go:build linux

package main

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// publisher is a connection that publishes as if this were a NATS server.
type publisher struct {
	fd      int
	loop    *loop
	parser  parser
	scratch []byte
	out     []byte // answers that the kernel did not take

	// what was read in one go, with coalesce
	frames map[string][]byte // user → its frames, one after another
	order  []string
}

const info = `INFO {"server_id":"FLOOR","server_name":"floor","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}` + "\r\n"

func newPublisher(fd int, l *loop) *publisher {
	p := &publisher{fd: fd, loop: l, frames: map[string][]byte{}}
	p.answer(info)
	return p
}

// readable delivers what was published before it answers the pings behind it.
func (p *publisher) readable(data []byte) bool {
	pings := 0
	deliver := p.deliver
	if p.loop.coalesce {
		deliver = p.collect
	}
	err := p.parser.parse(data, deliver, func() { pings++ })
	p.flush()
	for range pings {
		if !p.answer("PONG\r\n") {
			return false
		}
	}
	return err == nil
}

func user(subject []byte) []byte {
	return bytes.TrimPrefix(subject, []byte("notification."))
}

// deliver writes one publication to each of the user's connections.
func (p *publisher) deliver(subject, payload []byte) {
	p.scratch = appendFrame(p.scratch[:0], opText, payload)
	p.loop.send(p.loop.users[string(user(subject))], p.scratch)
}

// collect joins publications of a user until flush.
func (p *publisher) collect(subject, payload []byte) {
	u := user(subject)
	if len(p.loop.users[string(u)]) == 0 {
		return
	}
	frames, known := p.frames[string(u)]
	if !known || len(frames) == 0 {
		p.order = append(p.order, string(u))
	}
	p.frames[string(u)] = appendFrame(frames, opText, payload)
}

func (p *publisher) flush() {
	for _, u := range p.order {
		p.loop.send(p.loop.users[u], p.frames[u])
		delete(p.frames, u)
	}
	p.order = p.order[:0]
}

// send closes the connections that take no more. Closing takes them off the
// list, so it comes after the writing.
func (l *loop) send(to []*client, frames []byte) {
	var gone []int
	for _, c := range to {
		if !c.write(frames) {
			gone = append(gone, c.fd)
		}
	}
	for _, fd := range gone {
		l.close(fd)
	}
}

func (p *publisher) answer(line string) bool {
	if len(p.out) == 0 {
		n, err := unix.Write(p.fd, []byte(line))
		if err != nil && err != unix.EAGAIN {
			return false
		}
		line = line[max(n, 0):]
	}
	if line == "" {
		return true
	}
	p.out = append(p.out, line...)
	return p.loop.watch(unix.EPOLL_CTL_MOD, p.fd, unix.EPOLLIN|unix.EPOLLOUT) == nil
}

func (p *publisher) writable() bool {
	n, err := unix.Write(p.fd, p.out)
	if err != nil {
		return err == unix.EAGAIN
	}
	if p.out = p.out[n:]; len(p.out) > 0 {
		return true
	}
	return p.loop.watch(unix.EPOLL_CTL_MOD, p.fd, unix.EPOLLIN) == nil
}

func (p *publisher) closed() {}
