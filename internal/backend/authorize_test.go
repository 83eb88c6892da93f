package backend

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/ask"
	"belfry/internal/ask/asktest"
	"belfry/internal/bus"
	"belfry/internal/config"
)

// asked puts one question, in a synctest bubble.
func asked(t *testing.T, a *Authorizer, user, channel string) ask.Outcome {
	t.Helper()
	var got []ask.Outcome
	a.Authorize(Question{user, channel, Subscribe}, ask.Facts{Connection: "c1"}, func(o ask.Outcome) { got = append(got, o) })
	synctest.Wait()
	if len(got) != 1 {
		t.Fatalf("%d answers", len(got))
	}
	return got[0]
}

func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":true}`)
		a := newAuthorizer(b, 1)
		facts := ask.Facts{
			Connection: "c1", Remote: netip.MustParseAddr("192.0.2.7"), Origin: "https://a.example",
			UserAgent: "x", Dialect: "eventsource",
		}
		a.Authorize(Question{"a\"b", "orders.<ä>", Subscribe}, facts, func(ask.Outcome) {})
		synctest.Wait()
		msg := b.At(0).Msg
		var payload map[string]string
		if err := json.Unmarshal(msg.Data, &payload); err != nil || len(payload) != 3 ||
			payload["user"] != `a"b` || payload["channel"] != "orders.<ä>" || payload["action"] != "subscribe" {
			t.Errorf("asked %s", msg.Data)
		}
		if msg.Subject != "authorization" {
			t.Errorf("asked on %q", msg.Subject)
		}
		for name, want := range map[string]string{
			"Belfry-Contract": "1", "Belfry-Connection": "c1", "Belfry-Remote-Address": "192.0.2.7",
			"Belfry-Origin": "https://a.example", "Belfry-User-Agent": "x", "Belfry-Dialect": "eventsource",
			"Belfry-User": `a"b`,
		} {
			if got := msg.Header[name]; len(got) != 1 || got[0] != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
	})
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		reply string
		err   error
		want  ask.Outcome
		log   string
	}{
		{`{"success":true}`, nil, ask.Accepted, "level=DEBUG"},
		{`{"success":true,"cache_for":1.5,"more":[]}`, nil, ask.Accepted, "level=DEBUG"},
		{`{"success":false}`, nil, ask.Refused, "reason=channel_refused"},
		{`{"success":false,"cache_for":"x"}`, nil, ask.Refused, "cache_for is not a number"},
		{`{"success":true,"cache_for":"x"}`, nil, ask.Invalid, "cache_for is not a number"},
		{`{"success":true,"cache_for":null}`, nil, ask.Invalid, "reason=auth_invalid"},
		{`{"success":1}`, nil, ask.Invalid, "success is neither"},
		{`{"stream":"ALL","seq":7}`, nil, ask.Invalid, "a stream's ack"},
		{``, nil, ask.Invalid, "not JSON"},
		{``, bus.ErrUnavailable, ask.Unavailable, "reason=auth_unavailable"},
		{``, bus.ErrTimeout, ask.TimedOut, "reason=auth_timeout"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
			b := &asktest.Bus{Reply: func(r *asktest.Request) { r.Answer(c.reply, c.err) }}
			a := NewAuthorizer(b, "authorization", config.Auth{Timeout: time.Second, Concurrent: 1}, slog.New(handler))
			if got := asked(t, a, "42", "orders"); got != c.want {
				t.Errorf("%s %v: %v, want %v", c.reply, c.err, got, c.want)
			}
			if a.Counts()[c.want] != 1 {
				t.Errorf("%s %v: counted %v", c.reply, c.err, a.Counts())
			}
			for _, part := range []string{c.log, "conn=c1", "user=42", "channel=orders"} {
				if !strings.Contains(log.String(), part) {
					t.Errorf("%s %v: the log has no %q: %s", c.reply, c.err, part, log.String())
				}
			}
		})
	}
}

func TestAnswersAreRememberedAsLongAsTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := `{"success":true,"cache_for":60}`
		b := &asktest.Bus{Reply: func(r *asktest.Request) { r.Answer(say, nil) }}
		a := newAuthorizer(b, 1)
		want := func(user, channel string, o ask.Outcome, count int) {
			t.Helper()
			if got := asked(t, a, user, channel); got != o || b.Count() != count {
				t.Errorf("%s on %s: %v after %d requests, want %v after %d", user, channel, got, b.Count(), o, count)
			}
		}
		want("42", "orders", ask.Accepted, 1)
		say = `{"success":false,"cache_for":10}`
		want("42", "orders", ask.Accepted, 1)
		want("43", "orders", ask.Refused, 2) // another user
		want("42", "news", ask.Refused, 3)   // another channel
		say = `{"success":true}`
		want("42", "news", ask.Refused, 3) // a no is remembered too
		time.Sleep(10 * time.Second)
		want("42", "news", ask.Accepted, 4)
		want("42", "news", ask.Accepted, 5) // no cache_for, no memory
		want("42", "orders", ask.Accepted, 5)
		time.Sleep(50 * time.Second)
		say = `{"success":false}`
		want("42", "orders", ask.Refused, 6)
	})
}

// What went wrong is never remembered.
func TestFailuresAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{Reply: func(r *asktest.Request) { r.Answer("", bus.ErrUnavailable) }}
		a := newAuthorizer(b, 1)
		for i := range 3 {
			if got := asked(t, a, "42", "orders"); got != ask.Unavailable || b.Count() != i+1 {
				t.Errorf("%v after %d requests", got, b.Count())
			}
		}
	})
}

func TestAtMostSoManyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		a := newAuthorizer(b, 2)
		outcomes := make(chan ask.Outcome, 5)
		for range 5 {
			a.Authorize(Question{"42", "orders", Subscribe}, ask.Facts{}, func(o ask.Outcome) { outcomes <- o })
		}
		if underWay, waiting := a.Load(); underWay != 2 || waiting != 3 {
			t.Errorf("%d under way, %d waiting", underWay, waiting)
		}
		a.SetLimits(config.Auth{Timeout: 4 * time.Second, Concurrent: 4})
		if b.Count() != 4 {
			t.Errorf("%d sent, want 4", b.Count())
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		for range 5 { // the one in line too
			if o := <-outcomes; o != ask.TimedOut {
				t.Errorf("got %v", o)
			}
		}
	})
}
