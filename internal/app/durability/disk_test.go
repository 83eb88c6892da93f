package durability

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/app/apptest"
	"belfry/internal/verify/disk"
	"belfry/internal/verify/nodes"
	"belfry/internal/verify/nodes/nodestest"
)

// A readiness is what a gateway's internal port says.
func readiness(t testing.TB, internal string) (status int, text string) {
	t.Helper()
	return apptest.Get(t, "http://"+internal+"/readyz")
}

func becomes(t testing.TB, internal, state, sentence string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("/readyz said last: %s", last)
		}
	}()
	apptest.Eventually(t, "/readyz says "+state, func() bool {
		_, last = readiness(t, internal)
		return strings.Contains(last, fmt.Sprintf(`"state": %q`, state)) && strings.Contains(last, sentence)
	})
}

// refused publishes once, under an id, and expects no acknowledgement.
func (s *store) refused(subject, id, payload string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	msg := &nats.Msg{Subject: subject, Data: []byte(payload), Header: nats.Header{nats.MsgIdHdr: {subject + ":" + id}}}
	if ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0)); !errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatalf("published with the answer %+v, %v while nothing can be written", ack, err)
	}
}

// The disk under an embedded NATS fills up: nothing is acknowledged, the gateway
// says so, and goes on by itself when there is room. What was acknowledged comes
// once, and in order, to who was there and to who was away.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	g := launch(t, "")
	apptest.Backend(t, g.at.NATS, "")
	s := openStore(t, g.at.NATS)
	e := apptest.Follow(t, g.at.Public, "1").Started()
	start := e.LastID()
	before := texts("before", 50)
	s.put("notification.1", before...)
	e.Expect(before...)

	if err := disk.Fill(g.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	s.refused("notification.1", "tried again", "during")
	becomes(t, g.at.Internal, "not_storing", "free space")
	apptest.Follow(t, g.at.Public, "1", "last-event-id", start).Expect(before...) // reading goes on
	if _, metrics := apptest.Get(t, "http://"+g.at.Internal+"/metrics"); !strings.Contains(metrics, "belfry_not_storing 1\n") || !strings.Contains(metrics, "belfry_ready 0\n") {
		t.Error("the metrics do not say it")
	}
	answer, err := http.Post("http://"+g.at.Internal+"/api/publish", "application/json", strings.NewReader(`{"user":"1","data":"by the API"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(body), "can't write its store") {
		t.Errorf("the API answers %s, %v", body, err)
	}

	if err := disk.Free(g.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	becomes(t, g.at.Internal, "ready", "")
	s.putAs("notification.1", "tried again", "during")
	after := texts("after", 50)
	s.put("notification.1", after...)
	all := append([]string{"during"}, after...)
	e.Expect(all...)
	apptest.Follow(t, g.at.Public, "1", "last-event-id", start).Expect(append(before, all...)...)
}

// The same under a NATS elsewhere, which has to be restarted by who runs it.
func TestTheDiskOfAnotherNATSIsFull(t *testing.T) {
	t.Parallel()
	n := nodestest.Start(t, nodes.Options{Count: 1})
	url := n.URLs()[0]
	g := launch(t, url)
	apptest.Backend(t, url, "")
	s := openStore(t, url)
	e := apptest.Follow(t, g.at.Public, "1").Started()
	start := e.LastID()
	before := texts("before", 20)
	s.put("notification.1", before...)
	e.Expect(before...)

	if err := n.FillDisk(0); err != nil {
		t.Fatal(err)
	}
	s.refused("notification.1", "tried again", "during")
	becomes(t, g.at.Internal, "not_storing", "restart it")
	if err := n.FreeDisk(0); err != nil {
		t.Fatal(err)
	}
	s.refused("notification.1", "tried again", "during") // it takes a restart
	if err := n.Restart(within(t), 0); err != nil {
		t.Fatal(err)
	}
	becomes(t, g.at.Internal, "ready", "")
	s.putAs("notification.1", "tried again", "during")
	e.Expect("during")
	apptest.Follow(t, g.at.Public, "1", "last-event-id", start).Expect(append(before, "during")...)
}
