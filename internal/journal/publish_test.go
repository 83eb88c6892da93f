package journal

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belfry/internal/position"
	"belfry/internal/subject"
)

func TestPublish(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	for channel, subj := range map[string]string{"#42": "t.notification.42", "#a@b": "t.notification.=YUBi", "orders.eu": "t.channel.orders.eu", "chat:7": "t.channel.chat:7"} {
		r, err := j.Publish(w.ctx(), channel, "id", []byte("x"), 0)
		if err != nil || r.Subject != subj || r.ID != "id" || r.Stream != position.Of(channel) || r.Seq == 0 || r.Duplicate {
			t.Errorf("%s: %+v, %v", channel, r, err)
		}
		if m := r.Position.Get(r.Stream); m.Seq != r.Seq || m.Epoch != r.Epoch || m.Epoch == "" {
			t.Errorf("%s: position %v", channel, r.Position)
		}
		// Another way to publish it, and still one publication.
		again, err := w.pub.Publish(w.ctx(), channel, "id", []byte("x"), time.Minute)
		if err != nil || !again.Duplicate || again.Position != r.Position {
			t.Errorf("%s again: %+v, %v", channel, again, err)
		}
	}
	w.eventually("all have come", func() bool {
		return h.mark(position.Notifications).Seq == 2 && h.mark(position.Channels).Seq == 2
	})
	for _, channel := range []string{"", "#", "a..b", strings.Repeat("x", 200)} {
		if _, err := j.Publish(w.ctx(), channel, "", nil, 0); !errors.Is(err, ErrChannel) || !errors.Is(err, subject.ErrID) {
			t.Errorf("channel %.10q: %v", channel, err)
		}
	}
	for _, ttl := range []time.Duration{-1, time.Millisecond, 1500 * time.Millisecond, maxTTL + time.Second} {
		if _, err := j.Publish(w.ctx(), "#1", "", nil, ttl); !errors.Is(err, ErrTTL) {
			t.Errorf("ttl %v: %v", ttl, err)
		}
	}
}

// TestTTL: it comes with its end, and is not replayed once that has passed.
func TestTTL(t *testing.T) {
	w := newWorld(t)
	j, h := w.gateway()
	began := time.Now()
	short, err := j.Publish(w.ctx(), "#1", "", []byte("short"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	long, err := j.Publish(w.ctx(), "#1", "", []byte("long"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(h, notifications, long.Position.Get(notifications))
	for _, p := range h.all {
		ttl := time.Second
		if p.Seq == long.Seq {
			ttl = time.Hour
		}
		if off := time.Unix(0, p.Expires).Sub(began.Add(ttl)); off < -time.Second || off > 10*time.Second {
			t.Errorf("%s ends %v off", p.Payload, off)
		}
	}
	w.eventually("the short one is not replayed", func() bool {
		batch, _, ok := j.Recent(notifications, []string{"#1"}, short.Seq-1, long.Seq, 1<<20)
		return ok && len(batch) == 1 && string(batch[0].Payload) == "long"
	})
	// Gone from the stream, too: the next one follows a hole.
	w.eventually("it has left the stream", func() bool { return j.Stats().Streams[0].First == long.Seq })
	next := w.publish("#1", "next")
	w.reaches(h, notifications, next.Position.Get(notifications))
}
