package hub

import (
	"context"

	"belfry/internal/position"
)

// History is what the hub needs of the journal: publications that are not
// pending any more, and where a client starts.
type History interface {
	// Resolve turns what a client brought into where it starts, and calls done
	// once, at once or from another goroutine. done must not block.
	Resolve(q Query, done func(Start))
	// Recent reads from memory the publications of channels, all of stream s,
	// with after < Seq <= until, in order, of about maxBytes of payload, at least
	// one. All up to next has been read: it is until when nothing is left. ok is
	// false where memory does not reach back to after. It does not block: it is
	// called with a shard's lock held.
	Recent(s position.Stream, channels []string, after, until uint64, maxBytes int) (batch []Publication, next uint64, ok bool)
	// First is the lowest sequence of stream s that may be retained, or the next
	// one if nothing is: Recent and Older pass over what is below. It is at least
	// what it was when they read, and it only grows, within its epoch. It does not
	// block: it is called with a shard's lock held.
	First(s position.Stream) position.Mark
	// Older is Recent from the stream, for what memory does not have: it may wait
	// in line, and calls done once, from a goroutine of its own, with what it
	// found or an error that time may mend. It stops where Recent can go on.
	Older(ctx context.Context, s position.Stream, channels []string, after uint64, maxBytes int, done func(batch []Publication, next uint64, err error))
}

// A Query is what a client brings to say where it starts.
type Query struct {
	User   string // of the connection
	Device string // a part of the user's clients with a cursor of its own; may be empty
	// Channels are the durable ones that it wants: "#" and a user id, or a name.
	Channels []string
	// Position is what it got as one before, where HasPosition is set. It need
	// not be well-formed.
	Position    string
	HasPosition bool
	// From is where the streams stood when the client was let in; a stream without
	// a part stands where it does now. Whatever its user's others have got, the
	// client is to get what was published from then on.
	From position.Position
	// Start settles what the position says nothing of: "cursor", "now" or "all";
	// "" is cursor for the connection's own personal channel, now for others.
	Start string
	// Confirms asks for a Cursor, of the connection's own personal channel.
	Confirms bool
	// Tickets is set for a dialect without positions: a connection takes over
	// where one that broke off stood, and leaves the same behind.
	Tickets bool
}

// A Start is where a client starts.
type Start struct {
	// At has a part for every stream of the query's channels.
	At position.Position
	// Resets are to be told to the client first, as far as its protocol can.
	Resets []Reset
	// Cursor is nil where the query asked for none.
	Cursor Cursor
	// Err says that it can't be settled now; nothing else is set then.
	Err error
}

// A ResetReason says why a position could not be served.
type ResetReason string

const (
	ResetEpoch     ResetReason = "epoch"     // the stream was re-created, or restored
	ResetAhead     ResetReason = "ahead"     // above the stream's last sequence
	ResetExpired   ResetReason = "expired"   // below what is retained
	ResetMalformed ResetReason = "malformed" // not a position
)

// ResetReasons are all of them.
func ResetReasons() []ResetReason {
	return []ResetReason{ResetEpoch, ResetAhead, ResetExpired, ResetMalformed}
}

// resets counts, for one connection each.
type resets map[ResetReason]uint64

func (r *resets) count(why ResetReason) {
	if *r == nil {
		*r = resets{}
	}
	(*r)[why]++
}

// A Reset says that a client's place in a stream was lost: something may be
// missing, and may come again.
type Reset struct {
	Stream position.Stream
	Why    ResetReason
}

// A Cursor is one connection's part in what is known to have been delivered to
// its user. Its methods do not block and may be called from any goroutine.
type Cursor interface {
	// Sent says that what the personal channel has up to seq was written.
	Sent(seq uint64)
	// Confirm says that the client has everything up to seq.
	Confirm(seq uint64)
	// Reset says that the stream has another epoch, and that the connection goes
	// on behind m. What is sent and confirmed from then on is of that epoch.
	Reset(m position.Mark)
	// Close says that the client ended the connection, Break that it ended in
	// another way, so that the client may come back to where it was. Only the
	// first call of either counts.
	Close()
	Break()
}
