package eventsource

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"unicode"

	"belfry/internal/hub"
	"belfry/internal/position"
	"belfry/internal/subject"
)

// A mask leaves of a position what a connection reads: it may know nothing of
// other streams, or it would skip there what it never got when it comes back.
type mask func(position.Position) position.Position

func onlyPersonal(p position.Position) position.Position { return p.Only(position.Notifications) }

func everything(p position.Position) position.Position { return p }

// encodings are those of the hub that the dialect has made.
type encodings struct {
	hub      *hub.Hub
	personal encoding // for connections that read the personal channel alone
	several  encoding // and others

	mu       sync.Mutex          // guards the following
	overseen map[string]encoding // by user
}

type encoding struct {
	*hub.Encoding
	mask mask
}

func newEncodings(h *hub.Hub) *encodings {
	return &encodings{
		hub:      h,
		personal: register(h, onlyPersonal, isPersonal),
		several:  register(h, everything, isPersonal),
		overseen: map[string]encoding{},
	}
}

func isPersonal(channel string) bool { return position.Of(channel) == position.Notifications }

// of is the encoding for a user's connection that reads these channels beside
// the personal one.
//
// A personal channel has no event in its user's own stream. In one that reads
// other users' too (the authentication reply may grant that) only the user's
// own has none, so such a user has an encoding of their own. It is kept: there
// are few.
func (e *encodings) of(user string, channels []string) encoding {
	switch {
	case len(channels) == 0:
		return e.personal
	case !slices.ContainsFunc(channels, isPersonal):
		return e.several
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	own, ok := e.overseen[user]
	if !ok {
		own = register(e.hub, everything, func(channel string) bool { return channel == "#"+user })
		e.overseen[user] = own
	}
	return own
}

// register makes an encoding for connections that read these streams, and to
// which these channels are the personal one.
func register(h *hub.Hub, of mask, own func(channel string) bool) encoding {
	e := h.Encoding(Name, func(p *hub.Publication) []byte { return encode(p, of(p.At), own(p.Channel)) })
	e.OnReset(func(now position.Position, why hub.ResetReason) []byte { return appendReset(nil, of(now), why) })
	return encoding{e, of}
}

// encode is a publication as a block, made once for all connections of an
// encoding.
func encode(p *hub.Publication, at position.Position, personal bool) []byte {
	coded := p.Class == hub.Binary || p.Class == hub.Text && bytes.IndexByte(p.Payload, '\r') >= 0
	dst := make([]byte, 0, sizeOf(p, coded))
	dst = appendEvent(dst, p.Channel, personal, coded)
	if p.Stream != position.None {
		dst = appendID(dst, at)
	}
	if coded {
		dst = base64.StdEncoding.AppendEncode(append(dst, "data: "...), p.Payload)
		return append(dst, "\n\n"...)
	}
	return append(appendLines(dst, p.Payload), '\n')
}

// sizeOf is what a block will need, nearly always.
func sizeOf(p *hub.Publication, coded bool) int {
	const fields = len("event: channel.\nid: \ndata: \n\n") + 2*len("_n-dg2x4cqw1ofs-3w5e11264")
	n := fields + len(p.Channel)
	if coded {
		return n + base64.StdEncoding.EncodedLen(len(p.Payload))
	}
	return n + len(p.Payload) + len("data: ")*bytes.Count(p.Payload, []byte{'\n'})
}

func appendEvent(dst []byte, channel string, personal, coded bool) []byte {
	switch {
	case personal && coded:
		return append(dst, "event: binary\n"...)
	case personal:
		return dst
	case coded:
		dst = append(dst, "event: binary."...)
	default:
		dst = append(dst, "event: channel."...)
	}
	return append(append(dst, eventName(channel)...), '\n')
}

// eventName is a channel's name as an event can carry it: as it is, or, where it
// has a line's end or the like, as a subject has it.
func eventName(channel string) string {
	if !strings.ContainsFunc(channel, unicode.IsControl) {
		return channel
	}
	// Both can't fail: a channel with no subject is never published on.
	if user, ok := strings.CutPrefix(channel, "#"); ok {
		name, _ := subject.EncodeUser(user)
		return "#" + name
	}
	name, _ := subject.EncodeName(channel)
	return name
}

// appendLines appends a data line per line. The client puts them together with
// \n; in JSON, where a carriage return can only stand between tokens, it ends a
// line too.
func appendLines(dst, payload []byte) []byte {
	for {
		end := bytes.IndexAny(payload, "\r\n")
		dst = append(dst, "data: "...)
		if end < 0 {
			return append(append(dst, payload...), '\n')
		}
		dst = append(append(dst, payload[:end]...), '\n')
		if bytes.HasPrefix(payload[end:], []byte("\r\n")) {
			end++
		}
		payload = payload[end+1:]
	}
}
