package verify

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
)

const tokenForm = "verify:"

// answer answers authentication as a backend does: the token verify:U stands for
// user U, who also reads the channels that granted names.
func answer(nc *nats.Conn, names subject.Names, granted func(user string) []string) (*nats.Subscription, error) {
	s, err := nc.Subscribe(names.Auth(), func(m *nats.Msg) {
		reply := []byte(`{"success":false}`)
		if user, ok := strings.CutPrefix(string(m.Data), tokenForm); ok {
			reply, _ = json.Marshal(struct { // strings can't fail
				Success  bool     `json:"success"`
				User     string   `json:"user_id"`
				Channels []string `json:"channels,omitempty"`
			}{true, user, granted(user)})
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
