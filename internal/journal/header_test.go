package journal

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A publisher can have NATS store a header that is none.
var unreadable = map[string]string{
	"no colon":   "X: a\nb\r\n",
	"empty line": "Nats-Msg-Id: s:order-7\n\r\n",
	"forged": "Nats-Stream: S\r\nNats-Subject: n.9\r\nNats-Sequence: 999\r\nNats-Time-Stamp: 2001-01-01T00:00:00Z\r\n" +
		"Nats-Num-Pending: 0\r\nNats-Last-Sequence: 0\r\n\r\n",
	"a status": "Status: 404\r\nDescription: Message Not Found\r\n\r\n",
}

// publishRaw publishes past the client library, and returns when it is stored.
func publishRaw(t *testing.T, nc *nats.Conn, subject, header, data string) {
	t.Helper()
	raw, err := net.Dial("tcp", strings.TrimPrefix(nc.ConnectedUrl(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	inbox := nats.NewInbox()
	stored, err := nc.SubscribeSync(inbox)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	header = "NATS/1.0\r\n" + header + "\r\n"
	if _, err := fmt.Fprintf(raw, "CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB %s %s %d %d\r\n%s%s\r\n",
		subject, inbox, len(header), len(header)+len(data), header, data); err != nil {
		t.Fatal(err)
	}
	if m, err := stored.NextMsg(10 * time.Second); err != nil || strings.Contains(string(m.Data), "error") {
		t.Fatalf("%v, %v", m, err)
	}
}

// One such message stops nobody who reads over it, and is delivered itself.
func TestFetchOfAHeaderThatIsNone(t *testing.T) {
	for name, header := range unreadable {
		t.Run(name, func(t *testing.T) {
			n := startFetchNATS(t)
			n.publish("n.1", "one", nil)
			publishRaw(t, n.nc, "n.1", header, "two")
			n.publish("n.1", "three", nats.Header{"X": {"y"}})
			publishRaw(t, n.nc, "n.1", "a:b\r\nc:  d\r\n", "four") // as some write it: fine

			var texts []string
			for more, after := true, uint64(0); more; {
				msgs, further, err := n.f.after(n.ctx(), "S", after, 500)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range msgs {
					if m.seq != after+1 || m.subject != "n.1" || time.Unix(0, m.time).Year() < 2020 {
						t.Errorf("got %+v", m)
					}
					texts, after = append(texts, string(m.data)), m.seq
				}
				more = further
			}
			expectTexts(t, "in all", texts, []string{"one", "two", "three", "four"})
			if m, err := n.f.nextOf(n.ctx(), "S", "n.1", 1); err != nil || m.seq != 2 || string(m.data) != "two" {
				t.Errorf("the next of a subject: %+v, %v", m, err)
			}
			msgs, _, err := n.f.afterOf(n.ctx(), "S", "n.1", 1, 10, 1<<20)
			if err != nil || len(msgs) == 0 || msgs[0].seq != 2 {
				t.Errorf("of a subject: %+v, %v", msgs, err)
			}
			if m, err := n.f.leaderAfter(n.ctx(), "S", 1); err != nil || m.seq != 2 {
				t.Errorf("by the leader: %+v, %v", m, err)
			}
		})
	}
}
