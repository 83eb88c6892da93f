package app

import (
	"errors"

	"belfry/internal/api"
)

// serverAPI is what servers ask of the gateway, on the internal port.
func (a *App) serverAPI() *api.Server {
	return api.New(a.board.Guard(), api.Backing{Publisher: a.publisher, MaxPayload: a.maxPayload}, a.log)
}

func (a *App) publisher() (api.Publisher, error) {
	switch r := a.rooms.Load(); {
	case !a.options.Load().Durable:
		return nil, errors.New("this gateway is live only (durable is false): publish on live.<name> over NATS")
	case r == nil:
		return nil, errors.New("the gateway is starting; try again")
	default:
		return r.journal, nil
	}
}

func (a *App) maxPayload() int64 {
	r := a.rooms.Load()
	if r == nil {
		return 0
	}
	return r.bus.Conn().MaxPayload()
}
