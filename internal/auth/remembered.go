package auth

import (
	"bytes"
	"sync"
)

// remembered is an accepted Result, as small as can be: there is one for each
// token that the backend lets us remember. Most replies name a user and no more,
// and differ in nothing else.
type remembered struct {
	user string
	form *form
	more *Identity // nil: there is no more to it than the user
}

// A form is what a reply says around the user id. Where that does not stand in it
// as it is, as with an escape, all of it is before.
type form struct {
	before, after string
	alone         bool // the user id does not stand between them
}

// sharedMost is how long a reply may be, in bytes, to share its form. Who shares
// one does not count for its bytes, even where all others that had it are
// forgotten, so that they must be few.
const sharedMost = 128

func formOf(reply []byte, user string) *form {
	key := max(bytes.LastIndex(reply, []byte(`"user_id"`)), 0)
	at := bytes.Index(reply[key:], []byte(user))
	if at < 0 {
		return &form{before: string(reply), alone: true}
	}
	at += key
	return &form{before: string(reply[:at]), after: string(reply[at+len(user):])}
}

// fits tells whether reply gives these bytes for the user.
func (f *form) fits(reply []byte, user string) bool {
	if f.alone {
		return string(reply) == f.before
	}
	start, end := len(f.before), len(f.before)+len(user)
	return len(reply) == end+len(f.after) &&
		string(reply[:start]) == f.before && string(reply[start:end]) == user && string(reply[end:]) == f.after
}

func (f *form) reply(user string) []byte {
	if f.alone {
		return []byte(f.before)
	}
	return []byte(f.before + user + f.after)
}

// forms are the last ones that were new, to be shared by the replies that they
// fit. The zero value is empty.
type forms struct {
	mu   sync.Mutex // guards the following
	last [4]*form
	next int
}

// share returns the form of a reply, and whether it was there before.
func (s *forms) share(reply []byte, user string) (f *form, shared bool) {
	if len(reply) > sharedMost {
		return &form{before: string(reply), alone: true}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.last {
		if f != nil && f.fits(reply, user) {
			return f, true
		}
	}
	f = formOf(reply, user)
	s.last[s.next] = f
	s.next = (s.next + 1) % len(s.last)
	return f, false
}

// remember makes r small, and says about how many bytes it keeps alive.
func (s *forms) remember(r Result) (known remembered, weight int) {
	f, shared := s.share(r.Reply, r.Identity.User)
	known, weight = remembered{user: r.Identity.User, form: f}, len(r.Reply)
	if r.Identity.Channels != nil || r.Identity.Start != "" || !r.Identity.ExpiresAt.IsZero() {
		more := r.Identity
		known.more = &more
	} else if shared {
		weight = len(known.user)
	}
	return known, weight
}

func (known remembered) result() Result {
	r := Result{Outcome: Accepted, Identity: Identity{User: known.user}, Reply: known.form.reply(known.user)}
	if known.more != nil {
		r.Identity = *known.more
	}
	return r
}
