package durability

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"belfry/internal/app/apptest"
)

// A gateway is told to go, with 200 clients of both kinds and publications that
// go on: each client is told to come back, at an even pace, goes to the other
// gateway, and has got everything, in order; the gateway ends well.
func TestDrainUnderPublishes(t *testing.T) {
	t.Parallel()
	const each, over = 100, 2 * time.Second
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	a := launch(t, n.URL(), "BELFRY_DRAIN_DELAY=200ms", "BELFRY_DRAIN="+over.String())
	b := launch(t, n.URL())

	all := make([]*drained, 2*each)
	var running sync.WaitGroup
	for i := range all {
		d := &drained{user: fmt.Sprint(i)}
		all[i] = d
		if i < each {
			d.socket = attach(t, a.at.Public, d.user)
			running.Go(func() { d.moveSocket(t, b.at.Public) })
		} else {
			d.stream = apptest.Follow(t, a.at.Public, d.user).Started()
			running.Go(func() { d.moveStream(t, b.at.Public) })
		}
	}
	s, stop := openStore(t, n.URL()), make(chan struct{})
	var want []string
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for round := 0; ; round++ {
			for _, d := range all {
				s.put("notification."+d.user, fmt.Sprint("round ", round))
			}
			want = append(want, fmt.Sprint("round ", round))
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	began := time.Now()
	a.terminate()
	close(stop)
	publishing.Wait()
	want = append(want, lastWord)
	for _, d := range all {
		s.put("notification."+d.user, lastWord)
	}
	running.Wait()

	var quarters [4]int
	for _, d := range all {
		if !slices.Equal(d.got, want) {
			t.Errorf("user %s: %s", d.user, difference(d.got, want))
		}
		quarters[max(0, min(3, int(4*(d.at.Sub(began)-200*time.Millisecond)/over)))]++
	}
	t.Logf("%d publications each; sent away by quarters of %v: %v", len(want), over, quarters)
	for _, in := range quarters {
		if in > len(all)/2 {
			t.Errorf("sent away by quarters of %v: %v", over, quarters)
			break
		}
	}
}

// A drained is a client that is sent away once.
type drained struct {
	user   string
	socket *apptest.Client
	stream *apptest.Events
	got    []string
	at     time.Time // when it was sent away
}

func (d *drained) moveSocket(t *testing.T, to string) {
	for !d.sated() {
		text, err := d.socket.TryNext(2 * apptest.Patience)
		if err == nil {
			d.got = append(d.got, text)
			continue
		}
		if code := d.socket.Ended(); code != 1012 || !d.at.IsZero() {
			t.Errorf("user %s was sent away with %d", d.user, code)
			return
		}
		d.at = time.Now()
		d.socket = attach(t, to, d.user)
	}
	d.got = onceEach(d.got) // what was not confirmed may come again
}

func (d *drained) moveStream(t *testing.T, to string) {
	for !d.sated() {
		block, err := d.stream.TryNext(2 * apptest.Patience)
		switch {
		case err == nil && block.Event == "":
			d.got = append(d.got, block.Data)
		case err == nil && block.Event == "position":
		case err == nil && block.Event == "unavailable" && block.Data == `{"reason":"drain"}` && d.at.IsZero():
			d.at = time.Now()
			d.stream = apptest.Follow(t, to, d.user, "last-event-id", d.stream.LastID())
		default:
			t.Errorf("user %s: %v, %v", d.user, block, err)
			return
		}
	}
}

func (d *drained) sated() bool { return len(d.got) > 0 && d.got[len(d.got)-1] == lastWord }
