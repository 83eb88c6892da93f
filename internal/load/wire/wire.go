// Package wire publishes on NATS with as little of the machine as can be: the
// load generator shares its cores with what it measures.
//
// A Conn has no goroutine. What is published goes into a buffer, which leaves in
// one write; what the server sent meanwhile is read behind that, in one read,
// without waiting. The client library has a goroutine that writes, one that
// reads and one for each subscription, and wakes them for each message or two.
//
// The protocol, as far as it is spoken here (lines end with \r\n):
//
//	< INFO {json}                            first, and now and then
//	> CONNECT {json}                         with the credentials
//	> PING      < PONG                       and the other way round
//	> SUB subject 1
//	> PUB subject size                       payload and \r\n behind it
//	> HPUB subject reply head size           head and payload behind it
//	< MSG subject 1 [reply] size             payload behind it
//	< HMSG subject 1 [reply] head size       the same with a head
//	< -ERR 'text'
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

const (
	// enough is when a buffer is written though its caller has more, in bytes.
	enough = 16 << 10
	// writeWithin is how long a server may leave what is written unread.
	writeWithin = 30 * time.Second
	readBuffer  = 64 << 10
)

// A Conn is a connection to NATS. It belongs to one goroutine. An error of any
// method but Dial is the end of it.
type Conn struct {
	conn   net.Conn // TLS, or socket itself
	socket *socket
	at     string // where the server is, for errors
	out    []byte
	in     []byte // room to read into, the first kept bytes of which are read
	kept   int
	got    func(subject, data []byte)
	pongs  int // answers to PING that came
}

// Subscribe subscribes the connection to a subject, its only one. got is called
// by the methods that read; what it is given is valid until it returns, and data
// is without a head.
func (c *Conn) Subscribe(subject string, got func(subject, data []byte)) {
	c.got = got
	c.out = append(append(append(c.out, "SUB "...), subject...), " 1\r\n"...)
}

// Publish publishes, at the next Flush at the latest.
func (c *Conn) Publish(subject string, data []byte) error {
	c.out = append(append(append(c.out, "PUB "...), subject...), ' ')
	c.out = strconv.AppendInt(c.out, int64(len(data)), 10)
	return c.end(data)
}

const idHead = "NATS/1.0\r\nNats-Msg-Id: "

// PublishOnce publishes what a stream is to store once: id is the publication's,
// and the subject that it is acknowledged on.
func (c *Conn) PublishOnce(subject string, id, data []byte) error {
	head := len(idHead) + len(id) + 4
	c.out = append(append(append(c.out, "HPUB "...), subject...), ' ')
	c.out = append(append(c.out, id...), ' ')
	c.out = append(strconv.AppendInt(c.out, int64(head), 10), ' ')
	c.out = append(strconv.AppendInt(c.out, int64(head+len(data)), 10), "\r\n"+idHead...)
	c.out = append(append(c.out, id...), "\r\n"...)
	return c.end(data)
}

func (c *Conn) end(data []byte) error {
	c.out = append(append(append(c.out, "\r\n"...), data...), "\r\n"...)
	if len(c.out) < enough {
		return nil
	}
	return c.Flush()
}

// Flush writes what was published, and takes what has come until now.
func (c *Conn) Flush() error {
	if err := c.write(); err != nil {
		return err
	}
	some, err := c.read()
	for some && err == nil && c.conn != net.Conn(c.socket) { // TLS gives no more than a record
		some, err = c.read()
	}
	return err
}

func (c *Conn) write() error {
	if len(c.out) == 0 {
		return nil
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeWithin)) // what is wrong with it, Write says
	if _, err := c.conn.Write(c.out); err != nil {
		if _, failed := c.read(); failed != nil { // the server may have said why
			return failed
		}
		return fmt.Errorf("write to NATS at %s: %w", c.at, err)
	}
	c.out = c.out[:0]
	if cap(c.out) > 1<<20 {
		c.out = nil
	}
	return nil
}

// Wait flushes, and waits until something has come, for a time at most.
func (c *Conn) Wait(most time.Duration) error {
	if err := c.write(); err != nil {
		return err
	}
	c.socket.waits = true
	_ = c.conn.SetReadDeadline(time.Now().Add(most))
	_, err := c.read()
	c.socket.waits = false
	return err
}

// Sync flushes, and waits until the server has taken everything, for a time at
// most. It looks at ctx ten times a second.
func (c *Conn) Sync(ctx context.Context, most time.Duration) error {
	c.out = append(c.out, "PING\r\n"...)
	want, until := c.pongs+1, time.Now().Add(most)
	for c.pongs < want {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return fmt.Errorf("NATS at %s has not answered within %v", c.at, most)
		}
		if err := c.Wait(min(left, 100*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the connection. What was not flushed is gone.
func (c *Conn) Close() { _ = c.conn.Close() }

// read reads once and takes what it has read; some is false where that is nothing.
func (c *Conn) read() (some bool, err error) {
	n, err := c.conn.Read(c.in[c.kept:])
	if failed := c.take(c.in[:c.kept+n]); failed != nil {
		return n > 0, fmt.Errorf("NATS at %s: %w", c.at, failed)
	}
	if err != nil && err != errNothing && !errors.Is(err, os.ErrDeadlineExceeded) {
		return n > 0, fmt.Errorf("NATS at %s has ended the connection: %w", c.at, err)
	}
	return n > 0, nil
}

// take takes whole operations from the front of b, and keeps the rest.
func (c *Conn) take(b []byte) error {
	for len(b) > 0 {
		size, err := c.operation(b)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		b = b[size:]
	}
	if c.kept = copy(c.in, b); c.kept == len(c.in) {
		return fmt.Errorf("it sent more than %d bytes at once, beginning with %.40q", len(c.in), b)
	}
	return nil
}

// operation takes one; its size is 0 while it is not whole.
func (c *Conn) operation(b []byte) (size int, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, nil
	}
	line := bytes.TrimSuffix(b[:end], []byte{'\r'})
	switch {
	case bytes.HasPrefix(line, []byte("MSG ")):
		return c.message(b, end+1, line[4:], false)
	case bytes.HasPrefix(line, []byte("HMSG ")):
		return c.message(b, end+1, line[5:], true)
	case string(line) == "PING":
		c.out = append(c.out, "PONG\r\n"...)
	case string(line) == "PONG":
		c.pongs++
	case bytes.HasPrefix(line, []byte("-ERR")):
		return 0, fmt.Errorf("it says %s", bytes.TrimSpace(line[4:]))
	case bytes.HasPrefix(line, []byte("INFO ")), string(line) == "+OK":
	default:
		return 0, fmt.Errorf("it sent %.100q, which is no NATS", line)
	}
	return end + 1, nil
}

// message takes a message whose line begins with its subject; the rest of it
// begins at b[at].
func (c *Conn) message(b []byte, at int, line []byte, headed bool) (size int, err error) {
	before, last := cutLast(line)
	total, ok := number(last)
	head := 0
	if ok && headed {
		_, last = cutLast(before)
		head, ok = number(last)
	}
	if !ok || head > total {
		return 0, fmt.Errorf("it sent a message with the line %.100q", line)
	}
	if size = at + total + 2; len(b) < size {
		return 0, nil
	}
	subject, _, _ := bytes.Cut(line, []byte{' '})
	if c.got != nil {
		c.got(subject, b[at+head:at+total])
	}
	return size, nil
}

// cutLast cuts the last word off.
func cutLast(line []byte) (before, last []byte) {
	i := bytes.LastIndexByte(line, ' ')
	return line[:max(i, 0)], line[i+1:]
}

func number(b []byte) (n int, ok bool) {
	for _, d := range b {
		if d < '0' || d > '9' || n > 1<<26 {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, len(b) > 0
}
