package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/ask/asktest"
	"belfry/internal/bus"
)

func TestRequestCarriesTheRawTokenAndTheFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":true,"user_id":1}`)
		a, log := newAuth(b, 1)
		results := newTold(t)
		token := "57uiWCKp/44wImihy0C9+g=="
		a.Authenticate([]byte(token), Facts{
			Connection: "c1",
			Remote:     netip.MustParseAddr("192.0.2.7"),
			Origin:     "https://example.org\r\nBelfry-User: admin",
			UserAgent:  strings.Repeat("ü", 200),
			Dialect:    "messagechannel",
		}, false, results.done("one"))
		synctest.Wait()
		r := results.want("one", Accepted)
		if r.Identity.User != "1" || !r.Identity.ExpiresAt.IsZero() {
			t.Errorf("identity is %+v", r.Identity)
		}
		if string(r.Reply) != `{"success":true,"user_id":1}` {
			t.Errorf("reply became %q", r.Reply)
		}
		msg := b.At(0).Msg
		if msg.Subject != "authentication" || string(msg.Data) != token {
			t.Errorf("sent %q to %q", msg.Data, msg.Subject)
		}
		want := map[string]string{
			"Belfry-Contract":       "1",
			"Belfry-Connection":     "c1",
			"Belfry-Remote-Address": "192.0.2.7",
			"Belfry-Origin":         "https://example.orgBelfry-User: admin",
			"Belfry-User-Agent":     strings.Repeat("ü", 128),
			"Belfry-Dialect":        "messagechannel",
		}
		for name, value := range want {
			if got := msg.Header[name]; len(got) != 1 || got[0] != value {
				t.Errorf("header %s is %q, want %q", name, got, value)
			}
		}
		if len(msg.Header) != len(want) {
			t.Errorf("headers are %v", msg.Header)
		}
		if strings.Contains(log.String(), token) {
			t.Error("the token is in the log")
		}
	})
}

func TestFactsOfARenewalNameTheUser(t *testing.T) {
	h := Facts{User: "a\nb"}.Headers()
	if got := h.Get("Belfry-User"); got != "ab" {
		t.Errorf("Belfry-User is %q", got)
	}
	if got := (Facts{UserAgent: strings.Repeat("x", 255) + "ü"}).Clean().UserAgent; got != strings.Repeat("x", 255) {
		t.Errorf("a character was cut in two: %q", got)
	}
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		data  string
		err   error
		want  Outcome
		reply bool
	}{
		{"accepted", `{"success":true,"user_id":"a.b@c.d"}`, nil, Accepted, true},
		{"refused", `{"success":false,"user_id":null}`, nil, Refused, true},
		{"nobody listens", "", bus.ErrUnavailable, Unavailable, false},
		{"nobody listens, wrapped", "", fmt.Errorf("asking: %w", bus.ErrUnavailable), Unavailable, false},
		{"timeout", "", fmt.Errorf("asking: %w", bus.ErrTimeout), TimedOut, false},
		{"another error", "", errors.New("connection closed"), Unavailable, false},
		{"nonsense", "\xff\x00", nil, Invalid, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, log := newAuth(&asktest.Bus{Reply: func(r *asktest.Request) { r.Answer(tt.data, tt.err) }}, 1)
				results := newTold(t)
				a.Authenticate([]byte("secret-token"), Facts{Connection: "c7"}, false, results.done("one"))
				synctest.Wait()
				r := results.want("one", tt.want)
				if tt.reply != (r.Reply != nil) || tt.reply && string(r.Reply) != tt.data {
					t.Errorf("reply is %q", r.Reply)
				}
				if got := a.Counts()[tt.want]; got != 1 {
					t.Errorf("counted %d times", got)
				}
				line := log.String()
				if !strings.Contains(line, "conn=c7") || strings.Contains(line, "secret") {
					t.Errorf("log line is %q", line)
				}
				if tt.want != Accepted && !strings.Contains(line, "reason="+tt.want.Reason().String()) {
					t.Errorf("log line has no reason: %q", line)
				}
			})
		})
	}
}

func TestTimeoutIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newAuth(&asktest.Bus{}, 1)
		results := newTold(t)
		a.Authenticate([]byte("x"), Facts{}, false, results.done("one"))
		time.Sleep(4*time.Second - time.Millisecond)
		synctest.Wait()
		results.wantNone("one")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		results.want("one", TimedOut)
	})
}

func TestLogSaysWhatIsWrongAndNotThePayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := newAuth(asktest.Replying(`{"success":true,"user_id":1.5,"name":"private"}`), 1)
		a.Authenticate([]byte("x"), Facts{}, false, newTold(t).done("one"))
		synctest.Wait()
		if line := log.String(); !strings.Contains(line, "user_id: it is a number, but not an integer") || strings.Contains(line, "private") {
			t.Errorf("log line is %q", line)
		}
	})
}

func TestADeadBackendDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := newAuth(&asktest.Bus{Reply: func(r *asktest.Request) { r.Answer("", bus.ErrUnavailable) }}, 512)
		for range 3 {
			for range 1000 {
				a.Authenticate([]byte("x"), Facts{}, false, func(Result) {})
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 || strings.Contains(lines[0], "left_out") || !strings.Contains(lines[1], "left_out=999") {
			t.Errorf("%d lines:\n%s", len(lines), log)
		}
		if got := a.Counts()[Unavailable]; got != 3000 {
			t.Errorf("counted %d, want 3000", got)
		}
	})
}

func TestNamesOfOutcomes(t *testing.T) {
	want := []string{"accepted", "refused", "timeout", "unavailable", "invalid"}
	for i, name := range want {
		if got := Outcome(i).String(); got != name {
			t.Errorf("outcome %d is %q, want %q", i, got, name)
		}
	}
	if len(want) != Outcomes {
		t.Errorf("there are %d outcomes", Outcomes)
	}
}

// The time that a client waits is that in line and the backend's; a remembered
// identity costs none.
func TestRequestsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{Reply: func(r *asktest.Request) {
			time.AfterFunc(40*time.Millisecond, func() { r.Answer(`{"success":true,"user_id":1,"cache_for":60}`, nil) })
		}}
		a, _ := newAuth(b, 1)
		results := newTold(t)
		a.Authenticate([]byte("x"), Facts{}, false, results.done("alone"))
		a.Authenticate([]byte("y"), Facts{}, false, results.done("behind it"))
		time.Sleep(time.Second) // of the bubble's
		a.Authenticate([]byte("x"), Facts{}, false, results.done("remembered"))
		for _, name := range []string{"alone", "behind it", "remembered"} {
			results.want(name, Accepted)
		}
		if took := a.Took(); took.Count() != 2 || took.Sum != 120*time.Millisecond {
			t.Errorf("%d took %v, want 2 that took 120ms", took.Count(), took.Sum)
		}
	})
}
