package backend

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/ask"
	"belfry/internal/ask/asktest"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/reason"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newAuthorizer(b ask.Requester, concurrent int) *Authorizer {
	return NewAuthorizer(b, "authorization", config.Auth{Timeout: 4 * time.Second, Concurrent: concurrent}, quiet())
}

// decided runs a wish to its end, in a synctest bubble.
func decided(t *testing.T, p *Policy, user string, granted, channels []string) Decision {
	t.Helper()
	var got []Decision
	p.Subscribe(user, granted, channels, ask.Facts{Connection: "c1"}, func(d Decision) { got = append(got, d) })
	synctest.Wait()
	if len(got) != 1 {
		t.Fatalf("%q: %d decisions", channels, len(got))
	}
	return got[0]
}

// What the rules settle the backend is not asked about, which says no to all.
func TestRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":false}`)
		p := NewPolicy([]string{"news", "orders.*", "*.eu.*", "42"}, newAuthorizer(b, 8))
		granted := []string{"secret.plans", "#43", "a b"}
		const asked = ask.Outcomes
		for channel, want := range map[string]ask.Outcome{
			"#42":                                ask.Accepted, // the user's own
			"#43":                                ask.Accepted, // named by authentication
			"#44":                                ask.Refused,
			"#4":                                 ask.Refused,
			"#":                                  ask.Refused,
			"secret.plans":                       ask.Accepted,
			"a b":                                ask.Accepted,
			"secret":                             asked,
			"secret.plans.x":                     asked,
			"news":                               ask.Accepted,
			"News":                               asked,
			"news.x":                             asked,
			"orders.de":                          ask.Accepted,
			"orders.*":                           ask.Accepted, // a name as any other, of the part "*"
			"orders":                             asked,
			"orders.de.berlin":                   asked,
			"x.eu.y":                             ask.Accepted,
			"eu.y":                               asked,
			"42":                                 ask.Accepted,
			"*":                                  asked,
			"":                                   ask.Refused,
			"orders.":                            ask.Refused,
			".":                                  ask.Refused,
			"orders.\xff":                        ask.Refused,
			"#42\xff":                            ask.Refused,
			"orders." + strings.Repeat("x", 122): ask.Refused,
		} {
			before := b.Count()
			d := decided(t, p, "42", granted, []string{channel})
			if was := b.Count() > before; was != (want == asked) {
				t.Errorf("%q: the backend was asked: %v", channel, was)
			}
			if want == asked {
				want = ask.Refused
			}
			if named := want != ask.Accepted && d.Channel != channel; d.Outcome != want || named {
				t.Errorf("%q: %v %q, want %v", channel, d.Outcome, d.Channel, want)
			}
		}
	})
}

// Neither a pattern nor a backend that says yes to everything opens another
// user's personal channel.
func TestOtherUsersChannelsStayClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":true,"cache_for":60}`)
		p := NewPolicy([]string{"*", "#*", "#43", "*.*"}, newAuthorizer(b, 8))
		for _, channel := range []string{"#43", "#*", "#a.b", "##"} {
			if d := decided(t, p, "42", nil, []string{channel}); d != (Decision{ask.Refused, channel}) {
				t.Errorf("%q: %+v", channel, d)
			}
		}
		if b.Count() != 0 {
			t.Errorf("the backend was asked %d times", b.Count())
		}
	})
}

func TestSeveralChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{Reply: func(r *asktest.Request) {
			switch {
			case strings.Contains(string(r.Msg.Data), "no"):
				r.Answer(`{"success":false}`, nil)
			case strings.Contains(string(r.Msg.Data), "gone"):
				r.Answer("", bus.ErrUnavailable)
			case strings.Contains(string(r.Msg.Data), "slow"):
			default:
				r.Answer(`{"success":true}`, nil)
			}
		}}
		a := newAuthorizer(b, 8)
		p := NewPolicy([]string{"news"}, a)
		for _, c := range []struct {
			channels []string
			want     Decision
			why      reason.Reason
		}{
			{nil, Decision{}, reason.None},
			{[]string{"news", "#42"}, Decision{}, reason.None},
			{[]string{"a", "news", "b", "c"}, Decision{}, reason.None},
			{[]string{"a", "no", "slow"}, Decision{ask.Refused, "no"}, reason.ChannelRefused},
			{[]string{"slow", "gone", "a"}, Decision{ask.Unavailable, "gone"}, reason.AuthUnavailable},
			{[]string{"a", "#43", "b"}, Decision{ask.Refused, "#43"}, reason.ChannelRefused},
		} {
			before := b.Count()
			if d := decided(t, p, "42", nil, c.channels); d != c.want || d.Reason() != c.why {
				t.Errorf("%q: %+v %v, want %+v", c.channels, d, d.Reason(), c.want)
			}
			if c.want.Channel == "#43" && b.Count() != before {
				t.Error("asked, where a rule refuses")
			}
			if _, waiting := a.Load(); waiting != 0 {
				t.Errorf("%q: %d waiting, for nobody", c.channels, waiting)
			}
			time.Sleep(time.Minute) // what the backend never answers has its place for a while
			synctest.Wait()
			if underWay, _ := a.Load(); underWay != 0 {
				t.Errorf("%q: %d under way, for nobody", c.channels, underWay)
			}
		}
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		a := newAuthorizer(b, 2)
		p := NewPolicy(nil, a)
		cancel := p.Subscribe("42", nil, []string{"a", "b", "c"}, ask.Facts{}, func(d Decision) { t.Errorf("decided: %+v", d) })
		if underWay, waiting := a.Load(); underWay != 2 || waiting != 1 {
			t.Fatalf("%d under way, %d waiting", underWay, waiting)
		}
		if !cancel() || cancel() {
			t.Error("cancel: want true, then false")
		}
		if underWay, waiting := a.Load(); underWay != 2 || waiting != 0 {
			t.Errorf("%d under way, %d waiting; the backend is at two of them", underWay, waiting)
		}
		b.At(0).Answer(`{"success":true}`, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if underWay, _ := a.Load(); underWay != 0 {
			t.Errorf("%d under way, for nobody", underWay)
		}

		decision := make(chan Decision, 1)
		cancel = p.Subscribe("42", nil, []string{"d"}, ask.Facts{}, func(d Decision) { decision <- d })
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if d := <-decision; d != (Decision{ask.TimedOut, "d"}) || cancel() {
			t.Errorf("after the timeout: %+v", d)
		}
	})
}

func BenchmarkRule(b *testing.B) {
	var patterns []string
	for i := range 20 {
		patterns = append(patterns, fmt.Sprintf("room%d.*", i))
	}
	p := NewPolicy(patterns, nil)
	b.ReportAllocs()
	for b.Loop() {
		if p.rule("42", nil, "room19.7") != allowed {
			b.Fatal("not allowed")
		}
	}
}
