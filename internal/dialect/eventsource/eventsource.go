// Package eventsource speaks server-sent events: what a browser's own
// EventSource reads, with no library.
//
//	GET /events?token=…                 who it is; or Authorization: Bearer …, or,
//	                                    where public.origins restricts, a cookie
//	            &channels=news,orders   beside the user's personal channel
//	            &since=POSITION         everything behind it; Last-Event-ID wins
//	            &start=cursor|now|all   where a position says nothing
//	            &device=ID              a part of the user's clients
//
// An admitted client's answer is 200 and a stream of blocks, each ended by an
// empty line. The first, and then one each heartbeat, says where the client is;
// one that broke off goes on from the last id that it saw:
//
//	retry: 1834
//	event: position
//	id: n-c1x9-7x
//	data: {}
//
// A publication. The personal channel has no event, so that it reaches
// onmessage; others have channel.<name>. What was not stored has no id:
//
//	event: channel.news
//	id: n-c1x9-7x_c-c1xa-1a
//	data: {"the":"payload"}
//
// A payload that is not UTF-8, or a text with a carriage return, which the
// format can't carry, is base64 and its event binary, or binary.<name>.
//
// What the gateway has to say beside them:
//
//	event: reset        data: {"reason":"epoch"}, with an id. The position can't be
//	                    served: something may be missing, and may come again.
//	                    epoch, ahead, expired or malformed
//	event: denied       data: {"channel":"news","reason":"channel_refused"}. The user
//	                    may not read this channel; the stream goes on with the rest
//	event: expired      data: {"reason":"expired"}, then the end. The identity's
//	                    time is over: come back with a new token
//	event: unavailable  data: {"reason":"drain"}, then the end. Not now: come back
//
// A browser's EventSource gives up for good on every answer that is not 200. So
// whatever time may mend is a stream of one block, unavailable, and its end. The
// others are 401 for a token that was refused, whose body is the backend's
// reply, or that is missing; 403 for an origin that may not; 400 for a request
// that would be as wrong the next time; and 405.
package eventsource

import (
	"log/slog"
	"time"

	"belfry/internal/ask"
	"belfry/internal/auth"
	"belfry/internal/backend"
	"belfry/internal/hub"
)

// Name is the dialect's name in metrics and towards the backend.
const Name = "eventsource"

// Path is where clients find it.
const Path = "/events"

// A Follower is told which users have connections that want what is published
// in the original system's naming, notification_<user>, as in messagechannel.
type Follower interface {
	Follow(user string)
	Unfollow(user string)
}

// An Authenticator turns a token into an identity; auth.Authenticator is one.
type Authenticator interface {
	Authenticate(token []byte, f ask.Facts, fresh bool, done func(auth.Result)) (cancel func() bool)
}

// Access settles whether a user may subscribe to channels; backend.Policy is one.
type Access interface {
	// Subscribe calls done once, at once or later, unless cancel returned true
	// before. granted are the channels that the authentication reply named.
	Subscribe(user string, granted, channels []string, f ask.Facts, done func(backend.Decision)) (cancel func() bool)
}

// A Dialect makes sessions.
type Dialect struct {
	hub       *hub.Hub
	auth      Authenticator
	access    Access
	follower  Follower // nil: the original's naming is off
	encodings *encodings
	log       *slog.Logger
	started   time.Time // sessions hold times as durations since
}

// New makes the dialect and registers its encodings with the hub.
func New(h *hub.Hub, a Authenticator, access Access, follow Follower, log *slog.Logger) *Dialect {
	return &Dialect{
		hub:       h,
		auth:      a,
		access:    access,
		follower:  follow,
		encodings: newEncodings(h),
		log:       log,
		started:   time.Now(),
	}
}
