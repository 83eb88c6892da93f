package subject_test

import (
	"errors"
	"strings"
	"testing"

	"belfry/internal/subject"
)

func TestUserSpelling(t *testing.T) {
	for id, want := range map[string]string{
		"1": "1", "a_b-C": "a_b-C",
		"a.b@c.d": "=YS5iQGMuZA", "=x": "=PXg", "ä": "=w6Q", " ": "=IA", "*": "=Kg", ">": "=Pg", "a:b": "=YTpi", "\x00": "=AA",
		strings.Repeat("x", 128): strings.Repeat("x", 128),
	} {
		token, err := subject.EncodeUser(id)
		if err != nil || token != want {
			t.Errorf("EncodeUser(%q) = %q, %v, want %q", id, token, err, want)
		}
		back, err := subject.DecodeUser(token)
		if err != nil || back != id {
			t.Errorf("DecodeUser(%q) = %q, %v, want %q", token, back, err, id)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 129), strings.Repeat("@", 96)} {
		if token, err := subject.EncodeUser(id); !errors.Is(err, subject.ErrID) {
			t.Errorf("EncodeUser(%.10q) = %q, %v, want an error", id, token, err)
		}
	}
}

// Only one spelling is right; of another one the error says it.
func TestOtherSpellings(t *testing.T) {
	for token, hint := range map[string]string{
		"notification@b": `"=bm90aWZpY2F0aW9uQGI"`,
		"=MQ":            `"1"`, // a plain id that is coded
		"a:b":            `"=YTpi"`,
		"=YS5iQGMuZA==":  "unpadded",
		"=YS5iQGMuZB":    "unpadded", // bits behind the last byte
		"=":              "empty",
		"=*":             "unpadded",
		"":               "empty",
	} {
		id, err := subject.DecodeUser(token)
		if !errors.Is(err, subject.ErrID) || !strings.Contains(err.Error(), hint) {
			t.Errorf("DecodeUser(%q) = %q, %v, want an error with %s", token, id, err, hint)
		}
	}
}

func TestNameSpelling(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "chat:7": "chat:7", "orders.eu": "orders.eu", "a.b c.d": "a.=YiBj.d",
	} {
		got, err := subject.EncodeName(name)
		if err != nil || got != want {
			t.Errorf("EncodeName(%q) = %q, %v, want %q", name, got, err, want)
		}
		if back, err := subject.DecodeName(got); err != nil || back != name {
			t.Errorf("DecodeName(%q) = %q, %v", got, back, err)
		}
	}
	if name, err := subject.DecodeName("=IzQz"); !errors.Is(err, subject.ErrID) {
		t.Errorf("a name became %q, a user's personal channel", name)
	}
	for _, name := range []string{"", ".", "a.", "a..b", "#43", "#a.b", strings.Repeat("ab.", 60) + "c"} {
		if _, err := subject.EncodeName(name); !errors.Is(err, subject.ErrID) {
			t.Errorf("EncodeName(%q): %v", name, err)
		}
	}
}

func TestCheckChannel(t *testing.T) {
	for _, good := range []string{"orders", "chat:7", "orders.eu", "ä b", "*", "#42", "#a.b@c.d", "##"} {
		if err := subject.CheckChannel(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "#", "a..b", ".", "a\xff", "#\xff", strings.Repeat("x", 129), "#" + strings.Repeat("x", 129)} {
		if err := subject.CheckChannel(bad); !errors.Is(err, subject.ErrID) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzUserSpelling(f *testing.F) {
	f.Add("a.b@c.d")
	f.Add("=MQ")
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := subject.EncodeUser(s); err == nil {
			if strings.ContainsAny(token, ".*> \t\r\n") {
				t.Fatalf("%q is no subject token", token)
			}
			if back, err := subject.DecodeUser(token); err != nil || back != s {
				t.Fatalf("%q came back as %q, %v", s, back, err)
			}
		}
		if id, err := subject.DecodeUser(s); err == nil {
			if token, err := subject.EncodeUser(id); err != nil || token != s {
				t.Fatalf("%q has a second spelling, %q", id, s)
			}
		}
	})
}

func TestNames(t *testing.T) {
	plain, acme := subject.Default(""), subject.Default("acme")
	user, _ := acme.User("a@b")
	legacy, _ := acme.LegacyUser("42")
	channel, _ := acme.Channel("orders.a b")
	live, _ := plain.Live("chat:7")
	renamed := plain
	renamed.AuthorizationName, renamed.ChannelName, renamed.LiveName = "may", "shop.topic", "tick"
	topic, _ := renamed.Channel("eu")
	for got, want := range map[string]string{
		plain.Auth(): "authentication", acme.Auth(): "acme.authentication",
		user: "acme.notification.=YUBi", legacy: "acme.notification_42",
		plain.Users(): "notification.*", acme.Users(): "acme.notification.*",
		acme.Notifications(): "acme_BELFRY_NOTIFICATIONS", plain.Channels(): "BELFRY_CHANNELS",
		acme.AllChannels(): "acme.channel.>", acme.AllLive(): "acme.live.>", acme.Authorization(): "acme.authorization",
		channel: "acme.channel.orders.=YSBi", live: "live.chat:7",
		topic: "shop.topic.eu", renamed.AllChannels(): "shop.topic.>", renamed.AllLive(): "tick.>",
		strings.Join(renamed.Requests(), " "): "authentication may send rpc.>",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if id, err := acme.UserOf("acme.notification.=YUBi"); err != nil || id != "a@b" {
		t.Errorf("UserOf: %q, %v", id, err)
	}
	for _, other := range []string{"notification.42", "acme.notification.4.2", "acme.notification.a@b", "other.notification.42"} {
		if id, err := acme.UserOf(other); !errors.Is(err, subject.ErrID) {
			t.Errorf("UserOf(%q) = %q, %v", other, id, err)
		}
	}
}

func TestNamesInSubjects(t *testing.T) {
	acme := subject.Default("acme")
	if name, err := acme.ChannelOf("acme.channel.orders.=YSBi"); err != nil || name != "orders.a b" {
		t.Errorf("ChannelOf: %q, %v", name, err)
	}
	if name, err := acme.LiveOf("acme.live.chat:7"); err != nil || name != "chat:7" {
		t.Errorf("LiveOf: %q, %v", name, err)
	}
	for _, other := range []string{"acme.live.a", "channel.a", "acme.channel", "acme.channel.a@b", "acme.channel.=IzQz"} {
		if name, err := acme.ChannelOf(other); !errors.Is(err, subject.ErrID) {
			t.Errorf("ChannelOf(%q) = %q, %v", other, name, err)
		}
	}
}

func TestCursorKeys(t *testing.T) {
	n := subject.Default("acme")
	if n.Cursors() != "acme_BELFRY_CURSORS" {
		t.Errorf("bucket %q", n.Cursors())
	}
	for _, c := range []struct{ user, device, want string }{
		{"42", "", "42"}, {"42", "phone", "42.phone"}, {"a.b@c.d", "X_-1", "=YS5iQGMuZA.X_-1"},
	} {
		if key, err := n.Cursor(c.user, c.device); err != nil || key != c.want {
			t.Errorf("Cursor(%q, %q) = %q, %v, want %q", c.user, c.device, key, err, c.want)
		}
	}
	for _, device := range []string{"a.b", "a b", "*", "ä", strings.Repeat("x", 65)} {
		if key, err := n.Cursor("42", device); !errors.Is(err, subject.ErrID) {
			t.Errorf("device %q: %q, %v", device, key, err)
		}
	}
	if key, err := n.Cursor("", "x"); err == nil {
		t.Errorf("no user: %q", key)
	}
}

func TestPrefix(t *testing.T) {
	for _, good := range []string{"", "acme", "a", "0-x", strings.Repeat("x", 32)} {
		if err := subject.CheckPrefix(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"-a", "Acme", "a.b", "a_b", "*", strings.Repeat("x", 33), "notification", "belfry", "rpc"} {
		if err := subject.CheckPrefix(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
