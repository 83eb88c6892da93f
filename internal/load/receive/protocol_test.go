package receive

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"belfry/internal/load/payload"
)

const seed = "1a2b3c4d"

// text is a payload for index 0.
func text(t *testing.T, seq uint64) string {
	t.Helper()
	w, err := payload.NewWriter(seed, 150)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.Make(payload.Message{Seq: seq, At: 1}))
}

// frameOf is a server's frame.
func frameOf(op byte, p string) string {
	b := []byte{0x80 | op}
	switch {
	case len(p) <= 125:
		b = append(b, byte(len(p)))
	case len(p) <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(len(p)))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(len(p)))
	}
	return string(b) + p
}

// A dialogue is what a server says, and what must become of it.
type dialogue struct {
	dialect string
	said    string // all of it
	answers string // what the client says in between, unmasked
	end     string // why it ended; empty where it did not
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

// dialogues all deliver the sequences 1, 2 and 3.
func dialogues(t *testing.T) []dialogue {
	one, two, three := text(t, 1), text(t, 2), text(t, 3)
	push := func(p string) string { return `{"push":{"channel":"b","pub":{"data":` + p + `}}}` }
	msg := func(p string) string { return fmt.Sprintf("MSG notification.u 1 %d\r\n%s\r\n", len(p), p) }
	foreign := strings.Replace(one, seed, "ffffffff", 1)
	stream := "INFO {}\r\nPONG\r\n" + msg(one) + "PING\r\n" + msg(two) + msg(three)
	return []dialogue{
		{"messagechannel", upgraded + frameOf(opText, `{"success":true,"user_id":"u"}`) + frameOf(opPong, "bench") + frameOf(opText, one) +
			frameOf(opPing, "f") + frameOf(opText, two) + frameOf(opText, "something else") + frameOf(opText, foreign) + frameOf(opText, three) +
			frameOf(opClose, "\x03\xf0reads too slowly"),
			`{"type":"AUTH","token":"bench:b1a2b3c4d-0"}` + `{"type":"NOTIFICATION"}` + "bench" + "f" + "\x03\xf0reads too slowly", "1008 reads too slowly"},
		{"centrifuge", upgraded + frameOf(opText, `{"id":1,"connect":{"client":"x","ping":25,"pong":true}}`+"\n"+`{"id":2,"subscribe":{}}`) +
			frameOf(opText, push(one)+"\n"+push(two)) + frameOf(opText, "{}") + frameOf(opText, push(foreign)) + frameOf(opText, push(three)) + frameOf(opClose, "\x0b\xc0slow"),
			`{"id":1,"connect":{"token":"bench:b1a2b3c4d-0"}}` + "\n" + `{"id":2,"subscribe":{"channel":"#b1a2b3c4d-0"}}` + "{}" + "\x0b\xc0slow", "3008 slow"},
		{"nats", upgraded + frameOf(opBinary, stream[:20]) + frameOf(opBinary, stream[20:200]) + frameOf(opPing, "") + frameOf(opBinary, stream[200:201]) +
			frameOf(opBinary, stream[201:]) + frameOf(opBinary, "-ERR 'Slow Consumer'\r\n") + frameOf(opClose, ""),
			`CONNECT {"verbose":false,"pedantic":false,"protocol":1,"lang":"belfry-bench","version":"1"}` + "\r\nSUB notification.u 1\r\nPING\r\n" + "PONG\r\n", "-ERR 'Slow Consumer'"},
		{"eventsource", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 2000\nevent: position\nid: n-1-0\ndata: {}\n\n" +
			"id: n-1-1\ndata: " + one + "\n\n:\n\nevent: channel.b\nid: n-1-2\ndata: " + two + "\n\nid: n-1-3\ndata: " + three + "\n\ndata: " + foreign +
			"\n\nevent: unavailable\ndata: {\"reason\":\"drain\"}\n\n", "", "unavailable drain"},
	}
}

// Whatever is read at a time, what becomes of it is the same: the stream is cut
// in two at every byte, and into single bytes.
func TestDialoguesCutAnywhere(t *testing.T) {
	for _, d := range dialogues(t) {
		t.Run(d.dialect, func(t *testing.T) {
			for cut := range len(d.said) {
				d.hold(t, fmt.Sprint("cut at ", cut), d.said[:cut], d.said[cut:])
			}
			d.hold(t, "in single bytes", strings.Split(d.said, "")...)
		})
	}
}

// hold has a connection read a dialogue, a part at a time.
func (d dialogue) hold(t *testing.T, how string, parts ...string) {
	t.Helper()
	g, err := newGroup(Group{Name: "g", Dialect: d.dialect, URLs: []string{"ws://127.0.0.1:1/"}, Seed: seed, To: 1, Mod: 1,
		Subjects: []string{"notification.u"}, Positions: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &g.conns[0]
	c.phase, g.opening = greeting, 1
	var rest []byte
	said := ""
	for _, part := range parts {
		b := append(rest, part...)
		taken, err := g.protocol.read(c, b, 2000)
		said += unmasked(t, c.out)
		c.out = nil
		if err != nil {
			g.ended(c, err.Error())
			break
		}
		rest = append([]byte(nil), b[taken:]...)
	}
	r := g.counts([]uint64{3})
	if r.Deliveries != 3 || r.Lost+r.Duplicated+r.Reordered+r.Misdelivered != 0 {
		t.Fatalf("%s: %d deliveries, lost %d, twice %d, out of order %d, to another %d", how, r.Deliveries, r.Lost, r.Duplicated, r.Reordered, r.Misdelivered)
	}
	if d.dialect != "nats" && r.Foreign != 1 {
		t.Fatalf("%s: %d payloads of another run, want 1", how, r.Foreign)
	}
	if said != d.answers {
		t.Fatalf("%s: the client said\n%q, want\n%q", how, said, d.answers)
	}
	if r.Closed[d.end] != 1 {
		t.Fatalf("%s: closed for %v, want %q", how, r.Closed, d.end)
	}
	if d.dialect == "eventsource" && string(c.at) != "n-1-3" {
		t.Fatalf("%s: the position is %q", how, c.at)
	}
}

// unmasked is what is in a client's frames, which have a mask of zeros.
func unmasked(t *testing.T, b []byte) string {
	t.Helper()
	text := ""
	for len(b) > 0 {
		if b[1]&0x80 == 0 {
			t.Fatal("the client's frame is not masked")
		}
		head, n := 6, int(b[1]&0x7F)
		if n == 126 {
			head, n = 8, int(binary.BigEndian.Uint16(b[2:]))
		}
		text, b = text+string(b[head:head+n]), b[head+n:]
	}
	return text
}

// What is wrong at the beginning ends the connection, with a reason.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ dialect, said, why string }{
		{"messagechannel", "HTTP/1.1 503 Service Unavailable\r\nBelfry-Reason: limit\r\n\r\n", `the handshake was answered by "HTTP/1.1 503 Service Unavailable" (limit)`},
		{"messagechannel", "NONSENSE\r\n\r\n", `the handshake was answered by "NONSENSE"`},
		{"messagechannel", upgraded + frameOf(opText, `{"success":false}`) + frameOf(opClose, ""), `refused: {"success":false}`},
		{"messagechannel", upgraded + frameOf(opText, text(t, 1)), errEarly.Error()},
		{"messagechannel", upgraded + "\x01\x01x", "a message came in fragments, which the generator does not put together"},
		{"messagechannel", upgraded + "\x83\x00", "a frame with the opcode 3 came"},
		{"centrifuge", upgraded + frameOf(opText, `{"id":2,"error":{"code":103,"message":"permission denied"}}`), `refused: {"id":2,"error":{"code":103,"message":"permission denied"}}`},
		{"nats", upgraded + frameOf(opBinary, "INFO {}\r\n-ERR 'Authorization Violation'\r\n"), "-ERR 'Authorization Violation'"},
		{"nats", upgraded + frameOf(opBinary, "WHAT\r\n"), `NATS sent "WHAT"`},
		{"nats", upgraded + frameOf(opBinary, "MSG a 1 -5\r\n"), `NATS sent "MSG a 1 -5"`},
		{"eventsource", "HTTP/1.1 401 Unauthorized\r\nBelfry-Reason: auth_refused\r\n\r\n", `the handshake was answered by "HTTP/1.1 401 Unauthorized" (auth_refused)`},
		{"eventsource", "HTTP/1.1 200 OK\r\n\r\nevent: denied\ndata: {}\n\n", "refused: {}"},
	} {
		g, err := newGroup(Group{Dialect: tt.dialect, URLs: []string{"ws://127.0.0.1:1/"}, Seed: seed, To: 1, Mod: 1, Subjects: []string{"s"}})
		if err != nil {
			t.Fatal(err)
		}
		c := &g.conns[0]
		c.phase = greeting
		if _, err := g.protocol.read(c, []byte(tt.said), 1); err == nil || err.Error() != tt.why {
			t.Errorf("%s %q ended with %v, want %s", tt.dialect, tt.said, err, tt.why)
		}
	}
}

// A message of any size has a frame that is read.
func TestFrameSizes(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 0xFFFF, 0x10000} {
		b := frameOf(opText, strings.Repeat("x", n))
		if f, size := parseFrame([]byte(b)); size != len(b) || len(f.payload) != n {
			t.Errorf("%d bytes: read as %d in a frame of %d", n, len(f.payload), size)
		}
		if _, size := parseFrame([]byte(b[:len(b)-1])); size != 0 {
			t.Errorf("%d bytes: a part was read as the whole", n)
		}
	}
}

// What a delivery costs the generator allocates nothing.
func TestDeliveryDoesNotAllocate(t *testing.T) {
	g, err := newGroup(Group{Dialect: "messagechannel", URLs: []string{"ws://127.0.0.1:1/"}, Seed: seed, To: 1, Mod: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := &g.conns[0]
	c.phase, g.spreads[0].conns = live, 1
	w, _ := payload.NewWriter(seed, 120)
	seq, scratch := uint64(0), make([]byte, 256)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		b := append(append(scratch[:0], 0x81, 120), w.Make(payload.Message{Seq: seq, At: 1})...)
		if _, err := g.protocol.read(c, b, 1_000_000); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a delivery", n)
	}
}
