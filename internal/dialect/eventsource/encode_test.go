package eventsource

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
)

var (
	onN    = position.Position{}.With(position.Notifications, position.Mark{Epoch: "e", Seq: 285})
	onBoth = onN.With(position.Channels, position.Mark{Epoch: "f.1", Seq: 46})
)

// published is a publication as the hub has it; seq 0 is a live one.
func published(channel, payload string, at position.Position) *hub.Publication {
	p := &hub.Publication{Channel: channel, Payload: []byte(payload), Class: hub.Classify([]byte(payload)), At: at}
	if !at.IsZero() {
		p.Stream = position.Of(channel)
		p.Epoch, p.Seq = at.Get(p.Stream).Epoch, at.Get(p.Stream).Seq
	}
	return p
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		channel, payload string
		at               position.Position
		want             string
	}{
		{"#42", `{"a":1}`, onN, "id: n-e-7x\ndata: {\"a\":1}\n\n"},
		{"#42", `{"a":1}`, onBoth, "id: n-e-7x_c-f.1-1a\ndata: {\"a\":1}\n\n"},
		{"#42", `live`, position.Position{}, "data: live\n\n"},
		{"#42", "", onN, "id: n-e-7x\ndata: \n\n"},
		{"#42", "a\n\n b\n", onN, "id: n-e-7x\ndata: a\ndata: \ndata:  b\ndata: \n\n"},
		{"#42", "\xff\x00", onN, "event: binary\nid: n-e-7x\ndata: /wA=\n\n"},
		{"#42", "a\r\nb", onN, "event: binary\nid: n-e-7x\ndata: YQ0KYg==\n\n"},
		{"#42", "{\r\n\"a\":\r1}\r", onN, "id: n-e-7x\ndata: {\ndata: \"a\":\ndata: 1}\ndata: \n\n"},
		{"news", "hi", onBoth, "event: channel.news\nid: n-e-7x_c-f.1-1a\ndata: hi\n\n"},
		{"news", "hi", position.Position{}, "event: channel.news\ndata: hi\n\n"},
		{"orders.eu", "\xff", onBoth, "event: binary.orders.eu\nid: n-e-7x_c-f.1-1a\ndata: /w==\n\n"},
		{"orders.ä b", "\xff", position.Position{}, "event: binary.orders.ä b\ndata: /w==\n\n"},
		{"a\nid: x", "hi", position.Position{}, "event: channel.=YQppZDogeA\ndata: hi\n\n"},
	} {
		if got := string(encode(published(tt.channel, tt.payload, tt.at), tt.at, isPersonal(tt.channel))); got != tt.want {
			t.Errorf("%s %q:\n%q, want\n%q", tt.channel, tt.payload, got, tt.want)
		}
	}
}

// Each connection is told only of the streams that it reads, and of its user's
// personal channel as that.
func TestEncodings(t *testing.T) {
	for _, tt := range []struct {
		channels []string
		channel  string
		want     string
	}{
		{nil, "#42", "id: n-e-7x\n"},
		{[]string{"news"}, "#42", "id: n-e-7x_c-f.1-1a\n"},
		{[]string{"news"}, "news", "event: channel.news\nid: n-e-7x_c-f.1-1a\n"},
		{[]string{"#43"}, "#42", "id: n-e-7x_c-f.1-1a\n"},
		{[]string{"#43", "news"}, "#43", "event: channel.#43\nid: n-e-7x_c-f.1-1a\n"},
		{[]string{"#a\nb"}, "#a\nb", "event: channel.#=YQpi\nid: n-e-7x_c-f.1-1a\n"},
	} {
		h := hub.New(1)
		got := &wire{}
		var c hub.Conn
		h.Attach(&c, got, newEncodings(h).of("42", tt.channels).Encoding, "42")
		for _, s := range position.All() {
			at := onBoth.Get(s)
			at.Seq--
			h.Advance(s, at)
		}
		h.Subscribe(&c, tt.channel)
		h.Advance(3-position.Of(tt.channel), onBoth.Get(3-position.Of(tt.channel))) // the other stream
		h.Publish([]hub.Publication{*published(tt.channel, "x", onBoth)})
		h.Close()
		if string(*got) != tt.want+"data: x\n\n" {
			t.Errorf("%q reads %s as %q", tt.channels, tt.channel, *got)
		}
	}
	h := hub.New(1)
	defer h.Close()
	e := newEncodings(h)
	if e.of("42", []string{"#43"}).Encoding != e.of("42", []string{"#44"}).Encoding || e.of("1", []string{"#43"}).Encoding == e.of("42", []string{"#43"}).Encoding {
		t.Error("not one encoding a user")
	}
}

// A wire is a hub.Writer that keeps everything.
type wire []byte

func (w *wire) Deliver(b []byte, _ uint64) { *w = append(*w, b...) }
func (w *wire) Reset(position.Mark)        {}
func (w *wire) Idle() bool                 { return true }

// An event is what a browser makes of a block (HTML, section 9.2.6).
type event struct {
	name string // "message" where the block has none
	data string
	id   string // of the last block that had one
}

// A reader reads events as a browser does.
type reader struct {
	in    *bufio.Reader
	last  string
	retry string
}

func (r *reader) next() (event, error) {
	e, data, has := event{name: "message"}, strings.Builder{}, false
	for {
		text, err := r.line()
		if err != nil {
			return e, err
		}
		if text == "" {
			e.id = r.last
			if has {
				e.data = strings.TrimSuffix(data.String(), "\n")
				return e, nil
			}
			e, has = event{name: "message"}, false
			data.Reset()
			continue
		}
		field, value, _ := strings.Cut(text, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "data":
			has = true
			data.WriteString(value + "\n")
		case "id":
			r.last = value
		case "retry":
			r.retry = value
		}
	}
}

// line ends at \n, \r or \r\n.
func (r *reader) line() (string, error) {
	var b []byte
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\r' {
			if after, err := r.in.Peek(1); err == nil && after[0] == '\n' {
				_, _ = r.in.ReadByte()
			}
			return string(b), nil
		}
		if c == '\n' {
			return string(b), nil
		}
		b = append(b, c)
	}
}

func readAll(t testing.TB, b []byte) (events []event) {
	t.Helper()
	r := &reader{in: bufio.NewReader(bytes.NewReader(b))}
	for {
		e, err := r.next()
		if err == io.EOF {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

// Whatever is published comes out as it went in, JSON as the same value.
func FuzzEncode(f *testing.F) {
	for _, payload := range []string{"", "a", "a\nb\n", "\r", "\xff", ": x", "data: x\n\nid: y", "{\"a\":\r\n 1}", "\ufeff", "\x00", "\"\\r\""} {
		f.Add(payload, "news")
	}
	f.Fuzz(func(t *testing.T, payload, channel string) {
		p := published("news", payload, onBoth)
		p.Channel = channel
		for _, personal := range []bool{true, false} {
			block := encode(p, onBoth, personal)
			events := readAll(t, append(block, "data: after\n\n"...))
			if len(events) != 2 || events[0].id != onBoth.String() || events[1] != (event{"message", "after", onBoth.String()}) {
				t.Fatalf("%q became %q", payload, events)
			}
			got := events[0].data
			if strings.HasPrefix(events[0].name, "binary") {
				decoded, err := base64.StdEncoding.DecodeString(got)
				if err != nil {
					t.Fatal(err)
				}
				got = string(decoded)
			}
			if got != payload && !(p.Class == hub.JSON && sameJSON(t, got, payload)) {
				t.Fatalf("%q came as %q", payload, got)
			}
		}
	})
}

func sameJSON(t *testing.T, a, b string) bool {
	var x, y bytes.Buffer
	if err := json.Compact(&x, []byte(a)); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&y, []byte(b)); err != nil {
		t.Fatal(err)
	}
	return x.String() == y.String()
}

func TestBlocks(t *testing.T) {
	for want, got := range map[string][]byte{
		"event: position\nid: n-e-7x\ndata: {}\n\n":                                           appendPosition(nil, onN),
		"event: position\ndata: {}\n\n":                                                       appendPosition(nil, position.Position{}),
		"event: reset\nid: n-e-7x\ndata: {\"reason\":\"ahead\"}\n\n":                          appendReset(nil, onN, hub.ResetAhead),
		"event: expired\ndata: {\"reason\":\"expired\"}\n\n":                                  appendLast(nil, "expired", reason.Expired),
		"event: denied\ndata: {\"channel\":\"a\\\"b\\n\",\"reason\":\"channel_refused\"}\n\n": appendDenied(nil, "a\"b\n", reason.ChannelRefused),
	} {
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	seen := map[string]bool{}
	for range 2000 {
		b := string(appendRetry(nil, 1000e6, 3000e6))
		var ms int
		if _, err := fmt.Sscanf(b, "retry: %d\n", &ms); err != nil || ms < 1000 || ms > 3000 {
			t.Fatalf("%q", b)
		}
		seen[b] = true
	}
	if len(seen) < 500 {
		t.Errorf("%d different times of 2000", len(seen))
	}
}

// samples are payloads of about 200 bytes, of each kind.
func samples() map[string]*hub.Publication {
	const json = `{"user_id":"42","data":"%s"}`
	x := strings.Repeat("x", 200)
	return map[string]*hub.Publication{
		"personal":             published("#42", fmt.Sprintf(json, x), onBoth),
		"personal, without id": published("#42", fmt.Sprintf(json, x), position.Position{}),
		"channel":              published("news", fmt.Sprintf(json, x), onBoth),
		"text of 10 lines":     published("#42", strings.Repeat(x[:19]+"\n", 10), onBoth),
		"binary":               published("news", strings.Repeat("\xff", 200), onBoth),
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, p := range samples() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p.Payload)))
			b.ReportAllocs()
			for b.Loop() {
				encode(p, p.At, isPersonal(p.Channel))
			}
		})
	}
}
