package receive

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// obey does what has been commanded; over is true behind the last.
func (l *loop) obey() (over bool, err error) {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
	for {
		select {
		case c, ok := <-l.commands:
			if !ok {
				return true, nil
			}
			if err := l.do(c); err != nil {
				return false, fmt.Errorf("%s %s: %w", c.Do, c.Group, err)
			}
		default:
			return false, nil
		}
	}
}

func (l *loop) do(c Command) error {
	if c.Do == "open" {
		return l.add(c.Open)
	}
	var g *group
	for _, one := range l.groups {
		if one.Name == c.Group {
			g = one
		}
	}
	if g == nil {
		return fmt.Errorf("there is no such group")
	}
	switch c.Do {
	case "connect":
		for i := range g.conns {
			if g.conns[i].phase == away {
				g.todo = append(g.todo, &g.conns[i])
			}
		}
		g.connect.Reset()
	case "close":
		l.closeAll(g, c.Cut)
	case "stall", "read":
		return l.stall(g, c.Do == "stall")
	case "goal":
		g.goal, g.goalSince = c.Seq, c.At
	case "clear":
		g.clear()
	case "waiting":
		return l.say(Event{Waiting: &Waiting{Group: g.Name, Indexes: g.waiting()}})
	case "report":
		r, err := g.tell(c.Published)
		if err != nil {
			return err
		}
		return l.say(Event{Report: r})
	default:
		return fmt.Errorf("there is no such command")
	}
	return nil
}

func (l *loop) add(o *Group) error {
	if err := enough(len(l.conns) + o.To - o.From); err != nil {
		return err
	}
	g, err := newGroup(*o)
	if err != nil {
		return err
	}
	for i := range g.conns {
		g.conns[i].slot = int32(len(l.conns))
		l.conns = append(l.conns, &g.conns[i])
	}
	l.every = g.Tell
	l.groups, l.told = append(l.groups, g), append(l.told, Progress{})
	return nil
}

// enough tells whether there are descriptors for so many connections. Go has
// raised the soft limit to the hard one.
func enough(conns int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask for the limit of descriptors: %w", err)
	}
	if need := uint64(conns + spareDescs); need > limit.Cur {
		return fmt.Errorf("%d connections in one process need %d descriptors, and it may have %d: raise the limit (ulimit -Hn), or spread them over more processes (--processes)", conns, need, limit.Cur)
	}
	return nil
}

// closeAll ends a group's connections, those too that are still being opened.
func (l *loop) closeAll(g *group, cut bool) {
	g.todo = nil
	goodbye := g.protocol.goodbye()
	for i := range g.conns {
		c := &g.conns[i]
		if c.fd < 0 {
			continue
		}
		switch {
		case c.phase == live:
			g.count.Subscribed--
			g.count.Complete += g.spreads[c.number%g.Mod].leave(&c.track)
		default:
			g.opening--
		}
		if cut { // a reset, as when the other host is gone
			_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		} else if len(goodbye) > 0 {
			_, _ = unix.Write(int(c.fd), goodbye)
		}
		l.drop(c)
	}
}

// stall stops reading, or goes on.
func (l *loop) stall(g *group, on bool) error {
	for i := range g.conns {
		c := &g.conns[i]
		if c.fd < 0 || c.stalled == on {
			continue
		}
		c.stalled, c.mute = on, true
		var err error
		if on {
			err = l.watch(unix.EPOLL_CTL_DEL, int(c.fd), c.slot, 0)
		} else {
			err = l.watch(unix.EPOLL_CTL_ADD, int(c.fd), c.slot, unix.EPOLLIN)
		}
		if err != nil {
			return fmt.Errorf("change what is watched: %w", err)
		}
	}
	return nil
}
