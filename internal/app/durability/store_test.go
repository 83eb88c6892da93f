package durability

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app/apptest"
)

const (
	notifications = "BELFRY_NOTIFICATIONS"
	channels      = "BELFRY_CHANNELS"
)

// A store is a backend's side of NATS: it publishes with an ack and an id, and
// does to the streams what operators do.
type store struct {
	t  testing.TB
	nc *nats.Conn
	js jetstream.JetStream
	n  int // ids given
}

func openStore(t testing.TB, url string) *store {
	t.Helper()
	nc := apptest.Connect(t, url)
	// What is published faster than it can be stored is dropped without an ack.
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(64))
	if err != nil {
		t.Fatal(err)
	}
	return &store{t: t, nc: nc, js: js}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// put publishes, each with an id of its own, and returns the last one's ack.
func (s *store) put(subject string, payloads ...string) (ack *jetstream.PubAck) {
	s.t.Helper()
	for _, p := range payloads {
		s.n++
		ack = s.putAs(subject, fmt.Sprint(s.n), p)
	}
	return ack
}

// putAs publishes under an id, again and again until there is an ack.
func (s *store) putAs(subject, id, payload string) *jetstream.PubAck {
	s.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(payload), Header: nats.Header{nats.MsgIdHdr: {subject + ":" + id}}}
	for patience := within(s.t); ; {
		ctx, cancel := context.WithTimeout(patience, 2*time.Second)
		ack, err := s.js.PublishMsg(ctx, msg)
		cancel()
		if err == nil {
			return ack
		}
		if patience.Err() != nil {
			s.t.Fatalf("publishing on %s: %v", subject, err)
		}
	}
}

// putMany publishes without waiting for each ack, and waits for them all.
func (s *store) putMany(subject string, payloads []string) {
	s.t.Helper()
	acks := make([]jetstream.PubAckFuture, len(payloads))
	for i, p := range payloads {
		s.n++
		var err error
		acks[i], err = s.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte(p), Header: nats.Header{nats.MsgIdHdr: {fmt.Sprint(subject, ":", s.n)}}},
			jetstream.WithStallWait(apptest.Patience))
		if err != nil {
			s.t.Fatalf("publishing on %s: %v", subject, err)
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			s.t.Fatalf("publishing on %s: %v", subject, err)
		case <-within(s.t).Done():
			s.t.Fatalf("publishing on %s: no ack", subject)
		}
	}
}

func (s *store) stream(name string) jetstream.Stream {
	s.t.Helper()
	stream, err := s.js.Stream(within(s.t), name)
	if err != nil {
		s.t.Fatalf("looking up stream %s: %v", name, err)
	}
	return stream
}

func (s *store) purge(name string) {
	s.t.Helper()
	if err := s.stream(name).Purge(within(s.t)); err != nil {
		s.t.Fatalf("purging stream %s: %v", name, err)
	}
}

// recreate deletes a stream and makes it anew, with the same settings.
func (s *store) recreate(name string) {
	s.t.Helper()
	config := s.stream(name).CachedInfo().Config
	if err := s.js.DeleteStream(within(s.t), name); err != nil {
		s.t.Fatalf("deleting stream %s: %v", name, err)
	}
	if _, err := s.js.CreateStream(within(s.t), config); err != nil {
		s.t.Fatalf("making stream %s anew: %v", name, err)
	}
}

// texts are n payloads.
func texts(word string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s %d", word, i))
	}
	return all
}

// awaitCursor waits until it is stored that a user has received everything up to
// a sequence.
func (s *store) awaitCursor(user string, seq uint64) {
	s.t.Helper()
	kv, err := s.js.KeyValue(within(s.t), "BELFRY_CURSORS")
	if err != nil {
		s.t.Fatalf("opening the bucket of cursors: %v", err)
	}
	var stored []byte
	apptest.Eventually(s.t, fmt.Sprintf("the cursor of %s is at %d", user, seq), func() bool {
		entry, err := kv.Get(within(s.t), user)
		if err != nil {
			return false
		}
		stored = entry.Value()
		var record struct{ Seq uint64 }
		return json.Unmarshal(stored, &record) == nil && record.Seq >= seq
	})
}

// attach connects a client of messagechannel that wants notifications. query is
// what stands behind the question mark.
func attach(t testing.TB, public, user string, query ...string) *apptest.Client {
	t.Helper()
	url := "ws://" + public + "/"
	if len(query) > 0 {
		url += "?" + query[0]
	}
	c := apptest.Dial(t, url)
	if reply := c.Auth("user:" + user); reply != fmt.Sprintf(`{"success":true,"user_id":%q}`, user) {
		t.Fatalf("authenticating as %s: %s", user, reply)
	}
	c.Want()
	return c
}
