package messagechannel

import (
	"testing"
	"time"

	"belfry/internal/bus"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A refusal is the backend's reply, its bytes unchanged, once; everything else
// has a message of its own.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		token, answered string
		why             reason.Reason
	}{
		{"no", "{\"success\": false,\n \"user_id\":null}\t", reason.AuthRefused},
		{"silence", wrong("Authentication timed out"), reason.AuthTimeout},
		{"nobody", wrong("Authentication is unavailable"), reason.AuthUnavailable},
		{"babble", wrong("Authentication reply is invalid"), reason.AuthInvalid},
	} {
		t.Run(tt.token, func(t *testing.T) {
			g := start(t, nil)
			c := g.dial()
			c.say(authFrame(tt.token), notification)
			c.hearsTheEnd(tt.answered)
			g.closedFor(tt.why)
			g.empty()
		})
	}
}

// A renewal that fails ends the connection as a first AUTH does.
func TestRenewalFails(t *testing.T) {
	for _, tt := range []struct {
		token, answered string
		why             reason.Reason
	}{
		{token2, wrong("Authenticated as another user"), reason.OtherUser},
		{"no", "{\"success\": false,\n \"user_id\":null}\t", reason.AuthRefused},
		{"silence", wrong("Authentication timed out"), reason.AuthTimeout},
		{"nobody", wrong("Authentication is unavailable"), reason.AuthUnavailable},
		{"babble", wrong("Authentication reply is invalid"), reason.AuthInvalid},
	} {
		t.Run(tt.token, func(t *testing.T) {
			g := start(t, nil)
			c := g.in(token1, yes1)
			c.say(authFrame(tt.token))
			c.hearsTheEnd(tt.answered)
			g.closedFor(tt.why)
			g.empty()
		})
	}
}

func TestSecondAuthWhilePending(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(authFrame("slow"))
	finish := g.backend.hold(t, "slow")
	c.say(authFrame("slow"))
	c.hearsTheEnd(wrong("Authentication is pending"))
	g.closedFor(reason.AuthPending)
	finish(answer{data: yes1})
	g.empty()

	c = g.in(token1, yes1)
	c.say(authFrame("slower"))
	g.backend.hold(t, "slower")
	c.say(authFrame(token1))
	c.hearsTheEnd(wrong("Authentication is pending"))
	g.empty()
}

// A renewal asks the backend even where the identity is remembered, says who
// the connection is, and changes nothing about its notifications.
func TestRenewal(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"cache_for":60,"expires_in":60}`
	g.backend.set("mine", answer{data: reply})
	c := g.in("mine", reply)
	c.say(authFrame("mine"))
	c.hears(reply)
	if g.backend.count() != 2 {
		t.Errorf("asked %d times, want 2", g.backend.count())
	}
	if got := g.backend.at(1).Header.Get("Belfry-User"); got != "1" {
		t.Errorf("Belfry-User is %q", got)
	}
	g.publish("1", "hello")
	c.hears("hello")
	c.hearsNothing()
	if n := g.follower.of("1"); n > 1 {
		t.Errorf("followed %d times", n)
	}
}

// Notifications flow while a renewal is under way.
func TestNotificationsDuringRenewal(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(authFrame(token1))
	c.hears(yes1)
	c.say(authFrame("slow"), notification)
	finish := g.backend.hold(t, "slow")
	g.subscribed(1)
	g.publish("1", "hello")
	c.hears("hello")
	finish(answer{data: yes1})
	c.hears(yes1)
}

func TestExpiry(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"expires_in":0.1}`
	g.backend.set("short", answer{data: reply})
	begin := time.Now()
	c := g.in("short", reply)
	c.hearsTheEnd(wrong("Authentication expired"))
	if d := time.Since(begin); d < 100*time.Millisecond {
		t.Errorf("it expired after %v", d)
	}
	g.closedFor(reason.Expired)
	g.empty()
}

// An identity ends in time however fast notifications flow, each of which may
// want a fence in a second.
func TestExpiryWhileNotificationsFlow(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"expires_in":0.3}`
	g.backend.set("short", answer{data: reply})
	begin := time.Now()
	w := g.session(func() *client { return g.in("short", reply) })
	w.session.fence.open(noCursor{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for told := false; ; {
			switch first, payload, err := w.client.read(); {
			case err != nil:
				t.Errorf("no word of the end: %v", err)
				return
			case first == pingFrame:
				w.client.conn.Write(masked(pongFrame, payload))
			case payload == wrong("Authentication expired"):
				told = true // one more notification may have been under way
			case first == closeFrame:
				if !told {
					t.Error("closed without a word")
				}
				w.client.conn.Write(masked(closeFrame, payload))
				return
			}
		}
	}()
	mark := uint64(0)
	eventually(t, "the identity to expire", func() bool {
		mark++
		w.session.Deliver(frame(transport.OpText, []byte("x")), mark)
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("it expired after %v", d)
	}
	g.closedFor(reason.Expired)
}

func TestRenewalInTimeKeepsTheConnection(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"expires_in":0.3}`
	g.backend.set("short", answer{data: reply})
	begin := time.Now()
	c := g.in("short", reply)
	c.say(authFrame(token1)) // for ever
	c.hears(yes1)
	eventually(t, "the first identity's end", func() bool { return time.Since(begin) > 400*time.Millisecond })
	c.hearsNothing()
	g.publish("1", "hello")
	c.hears("hello")
}

// A renewal that was begun in time decides, even when the answer comes after
// the end.
func TestRenewalUnderWayAtTheEnd(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"expires_in":0.1}`
	g.backend.set("short", answer{data: reply})
	c := g.in("short", reply)
	begin := time.Now()
	c.say(authFrame("slow"))
	finish := g.backend.hold(t, "slow")
	eventually(t, "the identity's end", func() bool { return time.Since(begin) > 200*time.Millisecond })
	c.hearsNothing()
	finish(answer{data: reply})
	c.hears(reply)
	c.hearsTheEnd(wrong("Authentication expired"))
}

// A timeout that a renewal has overtaken sets itself again.
func TestOvertakenTimeout(t *testing.T) {
	g := start(t, nil)
	const reply = `{"success":true,"user_id":1,"expires_in":60}`
	g.backend.set("long", answer{data: reply})
	s := g.session(func() *client { return g.in("long", reply) })
	s.session.Timeout()
	s.client.hearsNothing()
}

func TestNoAuthInTime(t *testing.T) {
	if authWithin != time.Minute {
		t.Errorf("a client has %v, want 60 s", authWithin)
	}
	g := start(t, func(d *Dialect) { d.authWithin = 50 * time.Millisecond })
	c := g.dial()
	c.say(notification) // is no AUTH
	c.hearsClose("\x03\xf0no AUTH in time")
	g.closedFor(reason.NoAuth)

	c = g.dial()
	c.say(authFrame("slow")) // in time; the answer may take longer
	finish := g.backend.hold(t, "slow")
	begin := time.Now()
	eventually(t, "the time for AUTH to be over", func() bool { return time.Since(begin) > 150*time.Millisecond })
	finish(answer{data: yes1})
	c.hears(yes1)
	c.hearsNothing()
}

// Who closes while the backend is asked leaves nothing behind, and an answer
// that comes nevertheless is dropped.
func TestClosedWhilePending(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(authFrame("slow"), notification)
	finish := g.backend.hold(t, "slow")
	c.conn.Close()
	g.empty()
	finish(answer{data: yes1})
	g.empty()
	if n := g.auth.Counts(); n != [len(n)]uint64{} {
		t.Errorf("counted %v", n)
	}
}

func TestLateResultIsDropped(t *testing.T) {
	g := start(t, nil)
	s := g.session(g.dial)
	s.session.Closed(reason.ClientGone)
	s.session.turns.do(func() { s.session.answered(accepted("1")) })
	s.client.hearsNothing()
	if s.session.attached {
		t.Error("attached after its end")
	}
}

// Without a follower the original's naming is off and the rest as before.
func TestWithoutFollower(t *testing.T) {
	g := start(t, func(d *Dialect) { d.follower = nil })
	c := g.in(token1, yes1)
	g.publish("1", "hello")
	c.hears("hello")
	c.conn.Close()
	g.empty()
}

// A backend that comes back is asked again: nothing of a failure is kept.
func TestAfterAnOutage(t *testing.T) {
	g := start(t, nil)
	g.backend.set("t", answer{err: bus.ErrUnavailable})
	c := g.dial()
	c.say(authFrame("t"))
	c.hearsTheEnd(wrong("Authentication is unavailable"))
	g.backend.set("t", answer{data: yes1})
	g.in("t", yes1)
}
