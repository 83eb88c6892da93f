// Package backend asks the backend what else there is to ask than who a client
// is. Today that is authorization: who may subscribe to which channel.
//
// A Policy settles it, and most of it without a question: a user's own personal
// channel is always open, another user's never, except where the reply to the
// user's authentication names it; public channels are open to everybody. What is
// left an Authorizer asks about, on the authorization subject:
//
//	gateway → {"user":"42","channel":"orders","action":"subscribe"}
//	          With the headers that authentication has, and Belfry-User.
//	backend → {"success":true,"cache_for":60}
//	          Yes. Optional cache_for, in seconds, is for how long the answer
//	          holds without asking again; it does not end a subscription.
//	backend → {"success":false}
//	          No. Here too cache_for may be given.
//
// The outcomes are those of authentication (ask.Outcome): where nobody answers,
// that is no refusal, and the client may try again.
package backend
