package messagechannel

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"belfry/internal/reason"
)

func TestNotificationBeforeAuthDoesNothing(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(notification)
	c.hearsNothing()
	c.say(authFrame(token1))
	c.hears(yes1)
	g.publish("1", "lost") // nobody wants it yet
	c.hearsNothing()
	c.say(notification)
	g.subscribed(1)
	g.publish("1", "hello")
	c.hears("hello")
}

func TestNotificationTwiceSubscribesOnce(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(authFrame(token1), notification, notification)
	c.hears(yes1)
	c.say(notification)
	g.subscribed(1)
	g.publish("1", "a", "b")
	c.hears("a", "b")
	c.hearsNothing()
	if n := g.follower.of("1"); n > 1 {
		t.Errorf("followed %d times", n)
	}
}

func TestNotificationWhilePending(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.say(authFrame("slow"), notification)
	finish := g.backend.hold(t, "slow")
	c.hearsNothing()
	finish(answer{data: yes1})
	c.hears(yes1)
	g.subscribed(1)
	g.publish("1", "hello")
	c.hears("hello")
}

// Whatever a payload is, it goes out as it is, and no browser closes over it.
func TestPayloadsUnchanged(t *testing.T) {
	g := start(t, nil)
	c := g.in(token1, yes1)
	for _, payload := range []string{
		`{"user_id":"1","data":"hello"}`, " {\n} ", `[1,2]`, "plain text", "", "ü\r\n\x00", strings.Repeat("x", 126), strings.Repeat("y", 70000),
	} {
		g.publish("1", payload)
		c.hears(payload)
	}
	g.publish("1", "\xff\xfe", "text")
	if first, got := c.next(); first != binaryFrame || got != "\xff\xfe" {
		t.Errorf("got %#x %q, want a binary frame", first, got)
	}
	c.hears("text")
}

func TestEveryConnectionOfTheUser(t *testing.T) {
	g := start(t, nil)
	one, other, stranger := g.in(token1, yes1), g.in(token1, yes1), g.in(token2, yes2)
	g.publish("1", "hello")
	one.hears("hello")
	other.hears("hello")
	stranger.hearsNothing()
	eventually(t, "a Follow for each connection", func() bool { return g.follower.of("1") == 2 })
	one.conn.Close()
	eventually(t, "one Unfollow", func() bool { return g.follower.of("1") == 1 })
	g.publish("1", "still")
	other.hears("still")
}

// The id is handed on as it is; its spelling in subjects is others' business.
func TestUserIDsOfAllKinds(t *testing.T) {
	g := start(t, nil)
	g.backend.set("mail", answer{data: `{"success":true,"user_id":"a.b@c.d"}`})
	c := g.in("mail", `{"success":true,"user_id":"a.b@c.d"}`)
	g.publish("a.b@c.d", "hello")
	c.hears("hello")
	eventually(t, "the user to be followed", func() bool { return g.follower.of("a.b@c.d") == 1 })
}

// flood publishes for users 1 and 2 until it is stopped.
func flood(g *gateway) (stop func()) {
	var done sync.WaitGroup
	end := make(chan struct{})
	done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
				g.publish("1", fmt.Sprint(i))
				g.publish("2", fmt.Sprint(i))
			}
		}
	})
	return func() { close(end); done.Wait() }
}

// The reply comes before the first notification, however many there are.
func TestReplyComesFirst(t *testing.T) {
	g := start(t, nil)
	defer flood(g)()
	g.backend.set("remembered", answer{data: `{"success":true,"user_id":1,"cache_for":60}`})
	for i := range 100 {
		token, reply := token1, yes1
		if i%2 == 0 {
			token, reply = "remembered", `{"success":true,"user_id":1,"cache_for":60}`
		}
		c := g.dial()
		c.say(authFrame(token), notification)
		c.hears(reply)
		c.next() // subscribed
		c.conn.Close()
	}
	if asked := g.backend.count(); asked > 52 {
		t.Errorf("the backend was asked %d times; a remembered identity needs no question", asked)
	}
}

// The original let a notification slip through to a refused connection.
func TestARefusedConnectionReceivesNothing(t *testing.T) {
	g := start(t, nil)
	defer flood(g)()
	g.backend.set("refused", answer{data: `{"success":false,"user_id":1}`})
	for range 50 {
		c := g.dial()
		c.say(authFrame("refused"), notification, notification)
		c.hearsTheEnd(`{"success":false,"user_id":1}`)
	}
	eventually(t, "50 closes", func() bool { return g.transport.Stats().Closes[reason.AuthRefused] == 50 })
	g.empty()
}
