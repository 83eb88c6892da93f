package messagechannel

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"belfry/internal/auth"
	"belfry/internal/hub"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// watched is a client with its session in the gateway.
type watched struct {
	client  *client
	session *session
}

// session has a client made, and catches its session.
func (g *gateway) session(dial func() *client) (w watched) {
	opened := make(chan *session, 1)
	g.opened = opened
	w.client = dial()
	w.session = <-opened
	return w
}

func accepted(user string) auth.Result {
	return auth.Result{Outcome: auth.Accepted, Identity: auth.Identity{User: user}, Reply: []byte(yes1)}
}

// Every idle connection has one session: its size is a promise.
func TestSessionIsSmall(t *testing.T) {
	size := unsafe.Sizeof(session{}) - unsafe.Sizeof(hub.Conn{})
	t.Logf("%d bytes and %d of the hub's", size, unsafe.Sizeof(hub.Conn{}))
	if size > 232 {
		t.Errorf("a session has %d bytes without the hub's part, at most 232 are allowed", size)
	}
}

// The error frames are JSON, and each has a reason.
func TestProblems(t *testing.T) {
	all := map[*problem]struct {
		message string
		why     reason.Reason
	}{
		notJSON:         {"Invalid JSON message structure", reason.BadMessage},
		noType:          {"Invalid message structure. Type field is required", reason.BadMessage},
		unknownType:     {"Invalid message type", reason.BadMessage},
		noToken:         {"Token is required", reason.TokenRequired},
		authPending:     {"Authentication is pending", reason.AuthPending},
		authTimedOut:    {"Authentication timed out", reason.AuthTimeout},
		authUnavailable: {"Authentication is unavailable", reason.AuthUnavailable},
		authInvalid:     {"Authentication reply is invalid", reason.AuthInvalid},
		otherUser:       {"Authenticated as another user", reason.OtherUser},
		expired:         {"Authentication expired", reason.Expired},
	}
	for p, want := range all {
		payload := p.frame[2:]
		if string(payload) != wrong(want.message) || !json.Valid(payload) || p.why != want.why {
			t.Errorf("%q for %v, want %q for %v", payload, p.why, want.message, want.why)
		}
	}
	for o := range auth.Outcome(auth.Outcomes) {
		if o != auth.Accepted && o != auth.Refused && problemFor(o).why != o.Reason() {
			t.Errorf("%v is told as %v", o, problemFor(o).why)
		}
	}
}

func TestTurnsAreInOrderAndOneAtATime(t *testing.T) {
	var turns turns
	var got []int
	turns.do(func() {
		turns.do(func() { // calls from inside wait for their turn
			got = append(got, 2)
			turns.do(func() { got = append(got, 4) })
		})
		turns.do(func() { got = append(got, 3) })
		got = append(got, 1)
	})
	if !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("done in order %v", got)
	}
	if turns.waiting != nil {
		t.Error("an idle session keeps a list")
	}
	n := 0 // what the race detector watches
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 1000 {
				turns.do(func() { n++ })
			}
		})
	}
	callers.Wait()
	turns.do(func() {
		if n != 8000 {
			t.Errorf("%d of 8000 done", n)
		}
	})
}

// After a panic, which the transport turns into a close, the end is still done.
func TestTurnsGoOnAfterAPanic(t *testing.T) {
	var turns turns
	var got []string
	func() {
		defer func() { recover() }()
		turns.do(func() {
			turns.do(func() { got = append(got, "waited") })
			panic("bug")
		})
	}()
	turns.do(func() { got = append(got, "closed") })
	if !slices.Equal(got, []string{"waited", "closed"}) {
		t.Errorf("done: %v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range badInput {
		f.Add([]byte(tt.sent))
	}
	f.Add([]byte(authFrame(token1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, wrong := parse(data); wrong != nil && c.token != nil {
			t.Errorf("%q has a token and a problem", data)
		}
	})
}

func BenchmarkParseAuth(b *testing.B) {
	message := []byte(authFrame(token1))
	b.ReportAllocs()
	for b.Loop() {
		if _, wrong := parse(message); wrong != nil {
			b.Fatal("bad input")
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, p := range map[string]*hub.Publication{
		"text 128":   {Channel: "#1", Payload: []byte(`{"data":"` + strings.Repeat("x", 117) + `"}`), Class: hub.JSON},
		"text 16K":   {Channel: "#1", Payload: []byte(strings.Repeat("x", 16<<10)), Class: hub.Text},
		"binary 128": {Channel: "#1", Payload: []byte(strings.Repeat("\xff", 128)), Class: hub.Binary},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p.Payload)))
			for b.Loop() {
				encode(p)
			}
		})
	}
}

var _ transport.Session = (*session)(nil)
