package durability

import (
	"encoding/base64"
	"strings"
	"testing"

	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// A payload, how it comes as a frame and how as a block.
var payloads = []struct {
	name, payload string
	frame         bool // binary
	event, data   string
}{
	{"JSON", `{"a":[1,"ü"]}`, false, "", `{"a":[1,"ü"]}`},
	{"JSON with lines", "{\n  \"a\": 1\n}", false, "", "{\n  \"a\": 1\n}"},
	{"JSON with carriage returns", "{\r\n\"a\": 1\r}", false, "", "{\n\"a\": 1\n}"},
	{"text", "plain, and 日本語", false, "", "plain, and 日本語"},
	{"text with lines", "one\n\ntwo\n", false, "", "one\n\ntwo\n"},
	{"text with a carriage return", "one\r\ntwo", false, "binary", encoded("one\r\ntwo")},
	{"text like a field", "data: x\nid: 7\n: y", false, "", "data: x\nid: 7\n: y"},
	{"text with a space first", " x", false, "", " x"},
	{"text with NUL", "a\x00b", false, "", "a\x00b"},
	{"a number", "42", false, "", "42"},
	{"nothing", "", false, "", ""},
	{"binary", "\xff\xfe\x00\x01", true, "binary", encoded("\xff\xfe\x00\x01")},
	{"UTF-8 that breaks off", "abc\xe2\x82", true, "binary", encoded("abc\xe2\x82")},
	{"a surrogate", "\xed\xa0\x80", true, "binary", encoded("\xed\xa0\x80")},
	{"large binary", strings.Repeat("\xff\x00", 100_000), true, "binary", encoded(strings.Repeat("\xff\x00", 100_000))},
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// Every class of payload reaches every dialect, live and replayed, on the
// personal channel and on another, and closes nobody's connection.
func TestPayloads(t *testing.T) {
	t.Parallel()
	a := apptest.Start(t, func(o *config.Options) { o.Channels.Public = []string{"news"} })
	apptest.Backend(t, a.Addresses().NATS, "")
	s := openStore(t, a.Addresses().NATS)
	at := a.Addresses().Public
	events, frames := apptest.Follow(t, at, "1").Started(), attach(t, at, "1")
	news := apptest.Follow(t, at, "2", "channels", "news").Started()
	from := []string{events.LastID(), news.LastID()}
	for _, p := range payloads {
		s.put("notification.1", p.payload)
		s.put("channel.news", p.payload)
	}
	check := func(how string, events, news *apptest.Events, frames *apptest.Client) {
		t.Helper()
		for _, p := range payloads {
			if text, binary := frames.NextFrame(); text != p.payload || binary != p.frame {
				t.Errorf("%s, %s: got the frame %.100q, binary %v", p.name, how, text, binary)
			}
			if b := events.News(); b.Data != p.data || b.Event != p.event || b.ID == "" {
				t.Errorf("%s, %s: got the block %.100q", p.name, how, b)
			}
			kind := "channel.news"
			if p.event != "" {
				kind = "binary.news"
			}
			if b := news.News(); b.Data != p.data || b.Event != kind || b.ID == "" {
				t.Errorf("%s, %s, on a channel: got the block %.100q", p.name, how, b)
			}
		}
	}
	check("live", events, news, frames)
	check("replayed",
		apptest.Follow(t, at, "1", "since", from[0]),
		apptest.Follow(t, at, "2", "channels", "news", "last-event-id", from[1]),
		attach(t, at, "1", "device=new"))
	s.put("notification.1", "last")
	frames.Expect("last")
	events.Expect("last")
}
