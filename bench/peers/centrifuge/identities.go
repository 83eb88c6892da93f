package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// identities asks the backend whose token one is, and remembers the answer as
// long as the backend allows, like Belfry does.
type identities struct {
	conn  *nats.Conn
	known sync.Map // token → identity
}

type identity struct {
	user  string
	until time.Time
}

// of returns the user of a token, or an error if the backend refuses it or says
// nothing within 5 s.
func (i *identities) of(ctx context.Context, token string) (string, error) {
	if v, ok := i.known.Load(token); ok && time.Now().Before(v.(identity).until) {
		return v.(identity).user, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := i.conn.RequestWithContext(ctx, "authentication", []byte(token))
	if err != nil {
		return "", fmt.Errorf("asking the backend: %w", err)
	}
	var reply struct {
		Success  bool    `json:"success"`
		User     string  `json:"user_id"`
		CacheFor float64 `json:"cache_for"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return "", fmt.Errorf("reading the backend's reply: %w", err)
	}
	if !reply.Success || reply.User == "" {
		return "", errors.New("refused")
	}
	if reply.CacheFor > 0 {
		i.known.Store(token, identity{reply.User, time.Now().Add(time.Duration(reply.CacheFor * float64(time.Second)))})
	}
	return reply.User, nil
}
