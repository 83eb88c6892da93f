package load

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
)

// cacheFor is for how long a gateway may remember an identity, in seconds: what
// is measured is the gateway, not this backend.
const cacheFor = 3600

// answer answers authentication as a backend does: the token bench:U stands for
// user U. granted tells which channels a user may read.
func answer(nc *nats.Conn, names subject.Names, granted func(user string) []string) (*nats.Subscription, error) {
	s, err := nc.Subscribe(names.Auth(), func(m *nats.Msg) {
		reply := []byte(`{"success":false}`)
		if user, ok := strings.CutPrefix(string(m.Data), "bench:"); ok {
			reply = accept(user, granted(user))
		}
		_ = m.Respond(reply) // while NATS is away nobody waits for it
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("answer authentication on %s: %w", names.Auth(), err)
	}
	return s, nil
}

func accept(user string, channels []string) []byte {
	b := append([]byte(`{"success":true,"user_id":`), strconv.Quote(user)...)
	b = strconv.AppendInt(append(b, `,"cache_for":`...), cacheFor, 10)
	if len(channels) > 0 {
		list, _ := json.Marshal(channels) // strings can't fail
		b = append(append(b, `,"channels":`...), list...)
	}
	return append(b, '}')
}
