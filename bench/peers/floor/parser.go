//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// parser takes the operations out of what a NATS client writes, wherever the
// reads split them.
type parser struct {
	rest []byte // the beginning of an operation
}

// The longest operation, its payload included.
const maxOperation = 2 << 20

// parse calls publish for each PUB and HPUB, with slices that are valid during
// the call, and ping for each PING. Everything else that a client may say is
// passed over. An error means that the rest can't be understood.
func (p *parser) parse(data []byte, publish func(subject, payload []byte), ping func()) error {
	if len(p.rest) > 0 {
		p.rest = append(p.rest, data...)
		data = p.rest
	}
	for len(data) > 0 {
		n, err := operation(data, publish, ping)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
	}
	if len(data) > maxOperation {
		return errors.New("an operation is longer than 2 MiB")
	}
	p.rest = append(p.rest[:0], data...)
	return nil
}

// operation handles the one at the beginning of data and returns its length: 0
// if it is not whole.
func operation(data []byte, publish func(subject, payload []byte), ping func()) (n int, err error) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return 0, nil
	}
	line := bytes.TrimSuffix(data[:end], []byte("\r"))
	verb, arguments, _ := bytes.Cut(line, []byte(" "))
	switch string(verb) {
	case "PUB", "HPUB":
		return publication(data, end+1, arguments, verb[0] == 'H', publish)
	case "PING":
		ping()
	case "CONNECT", "PONG", "SUB", "UNSUB", "":
	default:
		return 0, fmt.Errorf("unknown operation %q", verb)
	}
	return end + 1, nil
}

// publication is SUBJECT [REPLY] SIZE, or SUBJECT [REPLY] HEADERS SIZE, then
// the payload, with the headers before it, and a line's end.
func publication(data []byte, start int, arguments []byte, headers bool, publish func(subject, payload []byte)) (n int, err error) {
	subject, rest, _ := bytes.Cut(arguments, []byte(" "))
	size, err := lastNumber(&rest)
	if err != nil {
		return 0, err
	}
	skip := 0
	if headers {
		if skip, err = lastNumber(&rest); err != nil {
			return 0, err
		}
	}
	if size > maxOperation || skip > size {
		return 0, fmt.Errorf("a publication of %d bytes, %d of them headers", size, skip)
	}
	n = start + size + len("\r\n")
	if len(data) < n {
		return 0, nil
	}
	publish(subject, data[start+skip:start+size])
	return n, nil
}

// lastNumber takes the last word off words.
func lastNumber(words *[]byte) (int, error) {
	*words = bytes.TrimRight(*words, " ")
	at := bytes.LastIndexByte(*words, ' ')
	number, err := strconv.ParseUint(string((*words)[at+1:]), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("reading a size: %w", err)
	}
	*words = (*words)[:max(at, 0)]
	return int(number), nil
}
