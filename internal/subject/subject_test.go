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
	for _, name := range []string{"", ".", "a.", "a..b", strings.Repeat("ab.", 60) + "c"} {
		if _, err := subject.EncodeName(name); !errors.Is(err, subject.ErrID) {
			t.Errorf("EncodeName(%q): %v", name, err)
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
	for got, want := range map[string]string{
		plain.Auth(): "authentication", acme.Auth(): "acme.authentication",
		user: "acme.notification.=YUBi", legacy: "acme.notification_42",
		plain.Users(): "notification.*", acme.Users(): "acme.notification.*",
		acme.Notifications(): "acme_BELFRY_NOTIFICATIONS", plain.Channels(): "BELFRY_CHANNELS",
		acme.AllChannels(): "acme.channel.>",
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
