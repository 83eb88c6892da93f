package eventsource

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/reason"
)

// appendPosition appends the block that says where the client is. Without
// streams there is nothing to say but that the gateway is there.
func appendPosition(dst []byte, at position.Position) []byte {
	dst = append(dst, "event: position\n"...)
	dst = appendID(dst, at)
	return append(dst, "data: {}\n\n"...)
}

// appendID appends an id. An empty one would take the client's from it.
func appendID(dst []byte, at position.Position) []byte {
	if at.IsZero() {
		return dst
	}
	dst = at.Append(append(dst, "id: "...))
	return append(dst, '\n')
}

func appendReset(dst []byte, at position.Position, why hub.ResetReason) []byte {
	dst = append(dst, "event: reset\n"...)
	dst = appendID(dst, at)
	return appendReason(dst, string(why))
}

// appendLast appends a block that says why the stream ends.
func appendLast(dst []byte, event string, why reason.Reason) []byte {
	dst = append(append(append(dst, "event: "...), event...), '\n')
	return appendReason(dst, why.String())
}

// appendReason appends the data of a reason, a word that needs no escaping.
func appendReason(dst []byte, why string) []byte {
	dst = append(append(dst, `data: {"reason":"`...), why...)
	return append(dst, "\"}\n\n"...)
}

func appendDenied(dst []byte, channel string, why reason.Reason) []byte {
	data, _ := json.Marshal(struct { // a string and a string can't fail
		Channel string `json:"channel"`
		Reason  string `json:"reason"`
	}{channel, why.String()})
	dst = append(append(dst, "event: denied\ndata: "...), data...)
	return append(dst, "\n\n"...)
}

// appendRetry appends how long the client shall wait before it comes back, at
// random between two times. It is a field of the block that follows.
func appendRetry(dst []byte, least, most time.Duration) []byte {
	wait := least + rand.N(most-least+1)
	dst = strconv.AppendInt(append(dst, "retry: "...), wait.Milliseconds(), 10)
	return append(dst, '\n')
}

// stillHere is a comment, for when there is no position to tell yet.
var stillHere = []byte(":\n\n")
