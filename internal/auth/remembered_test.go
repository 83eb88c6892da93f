package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRemembered: what comes back is what was remembered, to the byte, and replies
// that differ in the user id only share what they say.
func TestRemembered(t *testing.T) {
	var s forms
	shared := 0
	for _, reply := range []string{
		`{"success":true,"user_id":%[1]s,"cache_for":60}`,
		`{"cache_for":11,"success":true,"user_id":%[1]s}`,
		`{"user_id":11,"success":true,"user_id":%[1]s}`,
		`{"success":true,"user_id":%[1]s.0}`,
		`{"success":true,"user_id":"%[1]s","cache_for":60}`,
		`{"success":true,"us\u0065r_id":%[1]s}`,
		`{"success":true,"user_id":"\u0031","n":"%[1]s"}`,
		` {"success":true,"user_id":1e1,"cache_for":60} `, // user 10 does not stand in it
		`{"success":true,"user_id":%[1]s,"channels":["a"],"start":"now","expires_in":5}`,
	} {
		for _, user := range []string{"1", "11", "7", "10", "user_id", `"`} {
			data := reply
			if reply[0] == '{' {
				data = fmt.Sprintf(reply, user)
			}
			r := Result{Outcome: Accepted, Identity: Identity{User: user}, Reply: []byte(data)}
			known, weight := s.remember(r)
			if got := known.result(); string(got.Reply) != data || got.Identity.User != user || got.Outcome != Accepted {
				t.Errorf("%s of %s: came back as %s of %s", data, user, got.Reply, got.Identity.User)
			}
			if weight < len(data) {
				shared++
			}
			r.Identity.ExpiresAt = time.Unix(1, 0)
			r.Identity.Channels = []string{"a"}
			known, weight = s.remember(r)
			if got := known.result(); string(got.Reply) != data || !got.Identity.ExpiresAt.Equal(r.Identity.ExpiresAt) || len(got.Identity.Channels) != 1 || weight != len(data) {
				t.Errorf("%s of %s: came back as %s, %+v, %d bytes", data, user, got.Reply, got.Identity, weight)
			}
		}
	}
	if shared < 30 {
		t.Errorf("%d of 54 shared what they say", shared)
	}
}

// TestLongRepliesCount: a reply that could keep much alive counts in full each time.
func TestLongRepliesCount(t *testing.T) {
	var s forms
	r := Result{Outcome: Accepted, Identity: Identity{User: "1"}, Reply: fmt.Appendf(nil, `{"success":true,"user_id":1,"cache_for":60,"info":%q}`, strings.Repeat("x", sharedMost))}
	for range 3 {
		known, weight := s.remember(r)
		if weight != len(r.Reply) || string(known.result().Reply) != string(r.Reply) {
			t.Errorf("%d bytes counted of %d, reply %s", weight, len(r.Reply), known.result().Reply)
		}
	}
	if s.last[0] != nil {
		t.Error("its form is kept for others")
	}
}

// TestRememberedIsSmall: a reply that is remembered costs its user's name.
func TestRememberedIsSmall(t *testing.T) {
	var s forms
	data := []byte(`{"success":true,"user_id":1234567,"cache_for":60}`)
	r := Result{Outcome: Accepted, Identity: Identity{User: "1234567"}, Reply: data}
	s.remember(r)
	if n := testing.AllocsPerRun(100, func() { s.remember(r) }); n > 0 {
		t.Errorf("%v allocations for another reply of the same form", n)
	}
}
