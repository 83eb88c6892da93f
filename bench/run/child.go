package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How long a server may take to be ready, and to end when it is asked to.
const (
	readyWithin = 20 * time.Second
	endsWithin  = 5 * time.Second
)

// A child is a process of ours, the leader of a group of its own: what it
// starts ends with it, and it ends with us, however we end.
type child struct {
	name  string
	cmd   *exec.Cmd
	log   string // its standard error, a file
	ended chan struct{}
	err   error // after ended
}

// spawn starts a process. Its standard output goes to stdout.
func spawn(name, log string, cmd *exec.Cmd) (*child, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stderr = file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks it to end, and makes it.
func (c *child) stop() {
	defer c.signal(syscall.SIGKILL) // what it has left behind in its group
	c.signal(syscall.SIGINT)
	select {
	case <-c.ended:
	case <-time.After(endsWithin):
		c.signal(syscall.SIGKILL)
		<-c.ended
	}
}

func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(-c.pid(), s) }

// dead tells how it ended, if it has.
func (c *child) dead() string {
	select {
	case <-c.ended:
		return fmt.Sprintf("%s ended (%v): %s", c.name, c.err, c.lastLine())
	default:
		return ""
	}
}

// lastLine is the last that it logged.
func (c *child) lastLine() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	last := lines[len(lines)-1]
	if len(last) > 300 {
		last = last[:300] + "…"
	}
	return last
}

// addresses is what a server says once it is ready.
type addresses struct {
	Clients string `json:"clients"`
	NATS    string `json:"nats"`
}

// spawnPeer starts one that prints its addresses, and waits for them.
func spawnPeer(ctx context.Context, name, log string, cmd *exec.Cmd) (*child, addresses, error) {
	var at addresses
	read, write, err := os.Pipe()
	if err != nil {
		return nil, at, err
	}
	cmd.Stdout = write
	c, err := spawn(name, log, cmd)
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, at, err
	}
	line := make(chan string, 1)
	go func() {
		defer read.Close()
		text, _ := bufio.NewReader(read).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if err := json.Unmarshal([]byte(text), &at); err == nil {
			return c, at, nil
		}
		err = fmt.Errorf("%s printed no addresses: %s", name, c.lastLine())
		c.stop()
		return nil, at, err
	case <-time.After(readyWithin):
		err = fmt.Errorf("%s was not ready within %s: %s", name, readyWithin, c.lastLine())
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.stop()
	return nil, at, err
}

// spawnBelfry starts a gateway, and waits for the addresses that it writes into
// its data directory.
func spawnBelfry(ctx context.Context, name, data string, cmd *exec.Cmd) (*child, addresses, error) {
	c, err := spawn(name, data+".log", cmd)
	if err != nil {
		return nil, addresses{}, err
	}
	deadline := time.After(readyWithin)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		var at struct{ Public, NATS string }
		text, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		if err == nil && json.Unmarshal(text, &at) == nil {
			return c, addresses{Clients: at.Public, NATS: at.NATS}, nil
		}
		select {
		case <-poll.C:
			continue
		case <-c.ended:
			err = errors.New(c.dead())
		case <-deadline:
			err = fmt.Errorf("%s was not ready within %s: %s", name, readyWithin, c.lastLine())
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.stop()
		return nil, addresses{}, err
	}
}
