//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// client is a WebSocket connection.
type client struct {
	fd         int
	loop       *loop
	user       string
	upgraded   bool
	subscribed bool
	in         []byte // the beginning of a handshake or a frame
	pending    []byte // what the kernel did not take
}

// The most that waits for one client: beyond it the connection is closed.
const maxPending = 1 << 20

func (c *client) readable(data []byte) bool {
	if len(c.in) > 0 {
		data = append(c.in, data...)
		c.in = nil
	}
	for len(data) > 0 {
		n, goOn := c.take(data)
		if !goOn {
			return false
		}
		if n == 0 { // not whole yet
			c.in = bytes.Clone(data)
			return len(c.in) < maxFrame
		}
		data = data[n:]
	}
	return true
}

// take handles the handshake or one frame, and returns how long it was: 0 if
// it is not whole.
func (c *client) take(data []byte) (n int, goOn bool) {
	if !c.upgraded {
		answer, n := upgrade(data)
		if n == 0 {
			return 0, true
		}
		c.upgraded = answer != nil
		return n, c.upgraded && c.write(answer)
	}
	f, n := parseFrame(data)
	if n <= 0 {
		return 0, n == 0
	}
	switch f.opcode {
	case opText:
		return n, c.message(f.payload)
	case opPing:
		return n, c.write(appendFrame(nil, opPong, f.payload))
	case opClose:
		c.write(appendFrame(nil, opClose, f.payload))
		return n, false
	default: // a pong
		return n, true
	}
}

// message handles AUTH and NOTIFICATION.
func (c *client) message(text []byte) bool {
	var m struct{ Type, Token string }
	if json.Unmarshal(text, &m) != nil {
		return false
	}
	switch m.Type {
	case "AUTH":
		user, ours := strings.CutPrefix(m.Token, "bench:")
		if !ours || user == "" || c.user != "" {
			return false
		}
		c.user = strings.Clone(user)
		return c.write(appendFrame(nil, opText, []byte(`{"success":true,"user_id":"`+user+`"}`)))
	case "NOTIFICATION":
		if c.user != "" && !c.subscribed {
			c.subscribed = true
			c.loop.users[c.user] = append(c.loop.users[c.user], c)
		}
		return true
	}
	return false
}

// write sends what the kernel takes and keeps the rest. A false return means
// that the connection is to be closed.
func (c *client) write(frame []byte) bool {
	if len(c.pending) > 0 {
		c.pending = append(c.pending, frame...)
		return len(c.pending) <= maxPending
	}
	n, err := unix.Write(c.fd, frame)
	if err == unix.EAGAIN {
		n = 0
	} else if err != nil {
		return false
	}
	if n == len(frame) {
		return true
	}
	c.pending = append(c.pending, frame[n:]...)
	return c.loop.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT) == nil
}

func (c *client) writable() bool {
	n, err := unix.Write(c.fd, c.pending)
	if err != nil {
		return err == unix.EAGAIN
	}
	if n < len(c.pending) {
		c.pending = c.pending[n:]
		return true
	}
	c.pending = nil
	return c.loop.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN) == nil
}

func (c *client) closed() {
	if !c.subscribed {
		return
	}
	c.subscribed = false
	rest := slices.DeleteFunc(c.loop.users[c.user], func(o *client) bool { return o == c })
	if len(rest) == 0 {
		delete(c.loop.users, c.user)
		return
	}
	c.loop.users[c.user] = rest
}
