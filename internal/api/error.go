package api

import "fmt"

// A Code says why a method was not done. The numbers are Centrifugo's.
type Code int

const (
	// NotStored: NATS did not acknowledge, or this gateway stores nothing. It may
	// be stored nevertheless: try again with the same idempotency key.
	NotStored Code = 100
	// NoChannel: no channel can have that name.
	NoChannel Code = 102
	// BadRequest: something in the request is missing, or not what it has to be.
	BadRequest Code = 107
)

// An Error is the answer to a method that was not done.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"` // for people
}

func (e *Error) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

func failed(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
