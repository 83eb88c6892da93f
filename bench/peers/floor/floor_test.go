//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A client's handshake and both of its messages in one write, then what a NATS
// client publishes, joined or not.
func TestFloorDelivers(t *testing.T) {
	for _, coalesce := range []bool{false, true} {
		t.Run(fmt.Sprint("coalesce=", coalesce), func(t *testing.T) {
			clients, publishers := serve(t, coalesce)
			conn, err := net.Dial("tcp", clients)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
				masked(opText, `{"type":"AUTH","token":"bench:7"}`), masked(opText, `{"type":"NOTIFICATION"}`), masked(opPing, "subscribed?"))
			r := bufio.NewReader(conn)
			for line := "-"; line != "\r\n"; {
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				if key, value, _ := strings.Cut(line, ": "); key == "Sec-WebSocket-Accept" && value != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" {
					t.Errorf("accepted with %q, the RFC's example has another", value)
				}
			}
			expect(t, r, opText, `{"success":true,"user_id":"7"}`)
			expect(t, r, opPong, "subscribed?")

			nc, err := nats.Connect("nats://" + publishers)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			long := strings.Repeat("x", 200)
			for _, m := range []*nats.Msg{
				{Subject: "notification.7", Data: []byte("one")},
				{Subject: "notification.8", Data: []byte("another's")},
				{Subject: "notification.7", Data: []byte(long), Header: nats.Header{"Nats-Msg-Id": {"2"}}},
			} {
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.FlushTimeout(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			expect(t, r, opText, "one")
			expect(t, r, opText, long)
			fmt.Fprint(conn, masked(opClose, "\x03\xe8"))
			expect(t, r, opClose, "\x03\xe8")
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("after the close frame: %v, want the end", err)
			}
		})
	}
}

// serve runs a loop; its thread ends with the process.
func serve(t *testing.T, coalesce bool) (clients, publishers string) {
	t.Helper()
	l, err := newLoop(coalesce)
	if err != nil {
		t.Fatal(err)
	}
	if clients, err = l.listen("127.0.0.1:0", func(fd int) endpoint { return &client{fd: fd, loop: l} }); err != nil {
		t.Fatal(err)
	}
	if publishers, err = l.listen("127.0.0.1:0", func(fd int) endpoint { return newPublisher(fd, l) }); err != nil {
		t.Fatal(err)
	}
	go func() { t.Error(l.run()) }()
	return clients, publishers
}

func masked(opcode byte, payload string) string {
	const mask = "\x01\x02\x03\x04"
	b := []byte(payload)
	for i := range b {
		b[i] ^= mask[i&3]
	}
	return string([]byte{0x80 | opcode, 0x80 | byte(len(b))}) + mask + string(b)
}

func expect(t *testing.T, r *bufio.Reader, opcode byte, payload string) {
	t.Helper()
	want := appendFrame(nil, opcode, []byte(payload))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		t.Fatalf("waiting for %q: %v", want, err)
	}
	if string(got) != string(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}
