package transport

import (
	"io"
	"net"
	"net/http"
	"time"
)

// A Door has the sockets of a listener until it is known what they ask for.
// Sockets wait in an event loop for the head of their request, with no
// goroutine and no buffer. What DoorOptions.Route calls its own is answered
// from there; everything else goes to an HTTP server, for which the door is a
// net.Listener. There is one kind, of Linux.
//
// Whoever has a door calls AcceptSocket and Welcome in turn, on one goroutine,
// until Deafen. Only then comes Close, which ends what is left at the door;
// Accept and the server on it last until then.
type Door interface {
	net.Listener
	// AcceptSocket waits for the next socket. Its errors are as those of
	// net.Listener.Accept.
	AcceptSocket() (io.Closer, error)
	// Welcome takes charge of a socket that AcceptSocket returned.
	Welcome(socket io.Closer)
	// Deafen closes the listener, and has AcceptSocket return net.ErrClosed. Who
	// is at the door already is still served. It may be called twice.
	Deafen()
}

// DoorOptions are what a Door has to know. All are needed.
type DoorOptions struct {
	// Route tells who answers a request: nil for the HTTP server. It is asked
	// about requests of HTTP/1.1 that have a head which nobody could read in two
	// ways, are a GET, and have no body. waits says that the handler may block;
	// one that does not is called by an event loop.
	//
	// An answer that the handler does not hand to Accept or AcceptStream is the
	// last on its socket.
	Route      func(*http.Request) (handler http.HandlerFunc, waits bool)
	HeadWithin time.Duration // how long a head may take; up to two ticks more
	MaxHead    int           // bytes; a larger head is the HTTP server's to refuse
	// Left is called once for each socket that Welcome was given, when it has
	// become a connection, belongs to the HTTP server, or is closed.
	Left func()
}

// An upgrader is an http.ResponseWriter whose socket an event loop has already.
type upgrader interface {
	// upgrade answers with this head, makes the socket c's, and returns what the
	// client has sent behind its request. Where it fails the socket is closed.
	upgrade(c *Conn, head []byte) (p poller, early []byte, err error)
}
