//go:build linux

package main

import (
	"fmt"
	"slices"
	"testing"
)

const session = "CONNECT {\"verbose\":false}\r\nPING\r\n" +
	"PUB notification.7 5\r\nhello\r\n" +
	"PUB notification.7 _INBOX.1 4\r\n\r\nP\n\r\n" + // a payload that looks like lines
	"HPUB notification.8 12 17\r\nNATS/1.0\r\n\r\nworld\r\n" +
	"HPUB notification.8 _INBOX.2 12 12\r\nNATS/1.0\r\n\r\n\r\n" +
	"PUB notification.9 0\r\n\r\n" +
	"SUB x 1\r\nUNSUB 1\r\nPONG\r\nPING\r\n"

var heard = []string{
	"ping",
	"notification.7 hello",
	"notification.7 \r\nP\n",
	"notification.8 world",
	"notification.8 ",
	"notification.9 ",
	"ping",
}

// However the reads split what is written, the same is understood.
func TestParserSplitReads(t *testing.T) {
	for size := 1; size <= len(session); size++ {
		var p parser
		var got []string
		for chunk := range slices.Chunk([]byte(session), size) {
			err := p.parse(slices.Clone(chunk),
				func(subject, payload []byte) { got = append(got, fmt.Sprintf("%s %s", subject, payload)) },
				func() { got = append(got, "ping") })
			if err != nil {
				t.Fatalf("in reads of %d bytes: %v", size, err)
			}
		}
		if !slices.Equal(got, heard) {
			t.Fatalf("in reads of %d bytes, understood %q, want %q", size, got, heard)
		}
		if len(p.rest) != 0 {
			t.Fatalf("in reads of %d bytes, %q is left", size, p.rest)
		}
	}
}

func TestParserRefuses(t *testing.T) {
	for _, wrong := range []string{
		"GET / HTTP/1.1\r\n",
		"PUB notification.7\r\n",
		"PUB notification.7 five\r\n",
		"PUB notification.7 -1\r\n",
		"PUB notification.7 99999999\r\n",
		"HPUB notification.7 12\r\n",
		"HPUB notification.7 12 5\r\nhello\r\n",
	} {
		var p parser
		err := p.parse([]byte(wrong), func(s, _ []byte) { t.Errorf("%q published on %s", wrong, s) }, func() {})
		if err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}
