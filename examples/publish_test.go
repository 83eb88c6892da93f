package examples_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const outbox = "into an outbox table or a queue, and publish it again later with the same id"

// receipt is the line that every publisher prints for a stored message.
type receipt struct {
	Subject   string `json:"subject"`
	ID        string `json:"id"`
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
}

// publish runs a publisher that should succeed.
func publish(t *testing.T, l language, env []string, stdin []byte, args ...string) receipt {
	t.Helper()
	p, code := run(t, bytes.NewReader(stdin), env, append(l.publish, args...)...)
	if code != 0 {
		t.Fatalf("publish %q: exit code %d", args, code)
	}
	var r receipt
	decoder := json.NewDecoder(strings.NewReader(p.stdout.String()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("publish %q printed %q: %v", args, p.stdout.String(), err)
	}
	return r
}

func TestPublisherStores(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		s := stream(t, n.connect(t), "")
		hello := `{"user_id":"1","data":"hello"}`
		binary := []byte("\x00\xff\r\n\r\nPUB x 1\r\n\xe2\x82")
		for _, row := range []struct {
			args  []string
			stdin []byte
			want  receipt
			data  []byte
		}{
			{[]string{"1", hello, "order-1"}, nil, receipt{"notification.1", "order-1", "BELFRY_NOTIFICATIONS", 1, false}, []byte(hello)},
			{[]string{"1", hello, "order-1"}, nil, receipt{"notification.1", "order-1", "BELFRY_NOTIFICATIONS", 1, true}, []byte(hello)},
			{[]string{"2", hello, "order-1"}, nil, receipt{"notification.2", "order-1", "BELFRY_NOTIFICATIONS", 2, false}, []byte(hello)},
			{[]string{"a.b@c.d", "-", "b"}, binary, receipt{"notification.=YS5iQGMuZA", "b", "BELFRY_NOTIFICATIONS", 3, false}, binary},
			{[]string{"1", "", "empty"}, nil, receipt{"notification.1", "empty", "BELFRY_NOTIFICATIONS", 4, false}, nil},
		} {
			if got := publish(t, l, n.env(), row.stdin, row.args...); got != row.want {
				t.Errorf("publish %q: %+v, want %+v", row.args, got, row.want)
			}
			msg := stored(t, s, row.want.Seq)
			if !bytes.Equal(msg.Data, row.data) || msg.Subject != row.want.Subject {
				t.Errorf("publish %q stored %q on %s", row.args, msg.Data, msg.Subject)
			}
			if id := msg.Header.Get(nats.MsgIdHdr); id != row.want.Subject+":"+row.want.ID {
				t.Errorf("publish %q has the id %q", row.args, id)
			}
		}
		if first, second := publish(t, l, n.env(), nil, "1", "x"), publish(t, l, n.env(), nil, "1", "x"); first.ID == second.ID || second.Duplicate {
			t.Errorf("without an id: %+v and %+v, want two messages", first, second)
		}
	})
}

func TestPublisherWithAPrefix(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		stream(t, n.connect(t), "acme")
		want := receipt{"acme.notification.1", "a", "acme_BELFRY_NOTIFICATIONS", 1, false}
		if got := publish(t, l, n.env("BELFRY_NATS_PREFIX=acme"), nil, "1", "x", "a"); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// One try is lost, one is answered with an error, the third with an ack: the
// same message each time.
func TestPublisherRetriesWithTheSameID(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		sub, err := n.connect(t).SubscribeSync("notification.*")
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, nil, n.env("PUBLISH_DEADLINE=30"), append(l.publish, "1", "hello", "order-1")...)
		for _, answer := range []string{
			"",
			`{"error":{"code":503,"err_code":10077,"description":"insufficient resources"}}`,
			`{"stream":"BELFRY_NOTIFICATIONS","seq":9,"duplicate":true}`,
		} {
			msg, err := sub.NextMsg(patience)
			if err != nil {
				t.Fatalf("no further try: %v", err)
			}
			if id := msg.Header.Get(nats.MsgIdHdr); id != "notification.1:order-1" || string(msg.Data) != "hello" {
				t.Errorf("tried %q with the id %q", msg.Data, id)
			}
			if answer != "" {
				msg.Respond([]byte(answer))
			}
		}
		if code := p.wait(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestPublisherWaitsForNATSAndTheStream(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		n.stop()
		p := start(t, nil, n.env("PUBLISH_DEADLINE=30"), append(l.publish, "1", "hello")...)
		n.start(t)
		nc := n.connect(t)
		eventually(t, "it has met NATS without the stream", func() bool { return n.connections() > 1 })
		s := stream(t, nc, "")
		if code := p.wait(t); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if msg := stored(t, s, 1); string(msg.Data) != "hello" {
			t.Errorf("stored %q", msg.Data)
		}
	})
}

func TestPublisherGivesUpAtItsDeadline(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		away := startNATS(t, nil)
		away.stop()
		locked := startNATS(t, func(o *server.Options) { o.Username, o.Password = "backend", "secret" })
		for name, env := range map[string][]string{
			"NATS away":      away.env(),
			"no stream":      startNATS(t, nil).env(),
			"wrong password": locked.env("NATS_USER=backend", "NATS_PASSWORD=guess"),
		} {
			began := time.Now()
			p, code := run(t, nil, append(env, "PUBLISH_DEADLINE=1"), append(l.publish, "1", "hello", "order-1")...)
			if took := time.Since(began); took < time.Second || took > 10*time.Second {
				t.Errorf("%s: gave up after %v, the deadline is 1 s", name, took)
			}
			said := p.stderr.String()
			if code != 1 || !strings.Contains(said, "its id order-1 "+outbox) || !strings.Contains(said, "within 1 s") {
				t.Errorf("%s: exit code %d, said:\n%s", name, code, said)
			}
			if strings.Contains(said, "hello") || strings.Contains(said, "guess") {
				t.Errorf("%s: the payload or the password is in the log:\n%s", name, said)
			}
		}
	})
}

func TestPublisherRefusesWhatCannotBeSent(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		stream(t, n.connect(t), "")
		for name, row := range map[string]struct {
			args  []string
			stdin []byte
			says  string
		}{
			"no data":     {[]string{"1"}, nil, "usage"},
			"four":        {[]string{"1", "x", "id", "more"}, nil, "usage"},
			"an id line":  {[]string{"1", "x", "a\r\nNats-TTL: 1s"}, nil, "ID"},
			"no user":     {[]string{"", "x"}, nil, "1 to 128 bytes"},
			"a long user": {[]string{strings.Repeat("x", 129), "x"}, nil, "1 to 128 bytes"},
			"too large":   {[]string{"1", "-"}, make([]byte, 1<<20+1), "cannot be sent"},
		} {
			p, code := run(t, bytes.NewReader(row.stdin), n.env(), append(l.publish, row.args...)...)
			if said := p.stderr.String(); code != 2 || !strings.Contains(said, row.says) {
				t.Errorf("%s: exit code %d, said:\n%s", name, code, said)
			}
		}
	})
}
