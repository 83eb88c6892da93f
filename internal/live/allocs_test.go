//go:build !race

package live

import (
	"testing"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
)

// What is live costs its channel's name and nothing else, however many come at
// once.
func TestAllocsOfAPass(t *testing.T) {
	f := newFeed(nil, subject.Default(""), nowhere{}, quiet(), waiting)
	message := &nats.Msg{Subject: "notification_42", Data: []byte(`{"data":"hello"}`)}
	const batch = 100
	pass := func() {
		for range batch - 1 {
			f.in <- message
		}
		f.pass(message)
	}
	if n := testing.AllocsPerRun(200, pass) / batch; n > 1 {
		t.Errorf("%v allocations a message, at most 1 is allowed", n)
	}
}
