package transport

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"belfry/internal/reason"
)

// A refusal is a handshake's HTTP error.
type refusal struct {
	why    reason.Reason
	status int
	header [2]string
	text   string
}

// IsUpgrade tells whether a request asks for a WebSocket.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}

// GoingAway is what a client is told who comes while the gateway leaves.
const GoingAway = "the gateway is going away; try again"

// Refuse answers a handshake with an HTTP error; clients that can wait are told
// so by Retry-After on 503.
func Refuse(w http.ResponseWriter, status int, why reason.Reason, text string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Belfry-Reason", why.String())
	http.Error(w, text, status)
}

// Accept answers a WebSocket handshake. Where it succeeds it calls open with
// the connection, before the client's first message, and returns None; the
// session that open returns has it from then on. readLimit is the most bytes a
// message of the client's may have. Where it fails it has written the HTTP
// error, and returns the reason.
func (s *Server) Accept(w http.ResponseWriter, r *http.Request, dialect string, readLimit int, open func(*Conn) Session) reason.Reason {
	key, refused := checkHandshake(r)
	index := s.stats.dialect(dialect)
	if refused == nil {
		switch s.reserve(index) {
		case reason.Limit:
			refused = &refusal{reason.Limit, http.StatusServiceUnavailable, [2]string{},
				"the gateway has as many connections as it may (limits.connections); try again"}
		case reason.Drain:
			refused = &refusal{reason.Drain, http.StatusServiceUnavailable, [2]string{}, GoingAway}
		}
	}
	if refused != nil {
		if refused.header[0] != "" {
			w.Header().Set(refused.header[0], refused.header[1])
		}
		Refuse(w, refused.status, refused.why, refused.text)
		return refused.why
	}
	c := &Conn{dialect: index, readLimit: int32(readLimit), flags: busy}
	head := append(make([]byte, 0, 160), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	head = append(appendAccept(head, key), "\r\n\r\n"...)
	if err := s.upgrade(c, w, head, open); err != nil {
		return s.brokeOff(index, err)
	}
	return reason.None
}

// upgrade answers with this head and begins the connection on the socket.
func (s *Server) upgrade(c *Conn, w http.ResponseWriter, head []byte, open func(*Conn) Session) error {
	if u, ok := w.(upgrader); ok {
		loop, early, err := u.upgrade(c, head)
		if err == nil {
			s.start(c, loop, early, open)
		}
		return err
	}
	nc, early, err := hijack(w, head)
	if err == nil {
		s.start(c, s.adopt(c, nc), early, open)
	}
	return err
}

func (s *Server) brokeOff(dialect uint8, err error) reason.Reason {
	s.stats.add(dialect, -1)
	s.options.Log.Debug("a handshake broke off", "reason", reason.BadHandshake.String(), "err", err)
	return reason.BadHandshake
}

// reserve counts a connection in if one more may be, and else returns why not.
// A Drain that begins before it refuses the connection; any other waits for it.
func (s *Server) reserve(dialect uint8) (why reason.Reason) {
	s.stats.add(dialect, 1)
	switch {
	case s.isLeaving():
		why = reason.Drain
	case s.stats.open.Load() > s.connections.Load():
		why = reason.Limit
	default:
		return reason.None
	}
	s.stats.add(dialect, -1)
	return why
}

// checkHandshake finds what RFC 6455, section 4.2.1, does not allow, and else
// returns the key to answer.
func checkHandshake(r *http.Request) (key string, refused *refusal) {
	switch keys := r.Header["Sec-Websocket-Key"]; {
	case r.Method != http.MethodGet:
		refused = badHandshake(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET")
		refused.header = [2]string{"Allow", http.MethodGet}
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		refused = badHandshake(http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1")
	case !IsUpgrade(r):
		refused = badHandshake(http.StatusUpgradeRequired, "this is a WebSocket endpoint: Connection: Upgrade and Upgrade: websocket are needed")
		refused.header = [2]string{"Upgrade", "websocket"}
	case len(r.Header["Sec-Websocket-Version"]) == 0 || r.Header["Sec-Websocket-Version"][0] != "13":
		refused = badHandshake(http.StatusUpgradeRequired, "Sec-WebSocket-Version 13 is needed")
		refused.header = [2]string{"Sec-WebSocket-Version", "13"}
	case len(keys) != 1 || !isKey(keys[0]):
		refused = badHandshake(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64, once")
	default:
		key = keys[0]
	}
	return key, refused
}

func badHandshake(status int, text string) *refusal {
	return &refusal{why: reason.BadHandshake, status: status, text: text}
}

func isKey(key string) bool {
	var raw [64]byte // 16 are wanted
	if len(key) > len(raw) {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], []byte(key))
	return err == nil && n == 16
}

// appendAccept appends the answer to a key.
func appendAccept(b []byte, key string) []byte {
	var text [128]byte
	sum := sha1.Sum(append(append(text[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// hasToken finds a token in a list header, whatever its case.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// hijack takes the connection from net/http, answers the handshake, and returns
// what the client has sent behind it already.
func hijack(w http.ResponseWriter, head []byte) (nc net.Conn, early []byte, err error) {
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection can't be upgraded", http.StatusInternalServerError)
		return nil, nil, fmt.Errorf("taking the connection over: %w", err)
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ = buffered.Reader.Peek(n)
	}
	if visited, ok := nc.(interface{ takeEarly() []byte }); ok {
		early = append(early, visited.takeEarly()...)
	}
	const timeout = 5 * time.Second
	if err = nc.SetDeadline(time.Now().Add(timeout)); err == nil {
		_, err = nc.Write(head)
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("answering the handshake: %w", err)
	}
	return nc, early, nil
}

// start begins a connection whose socket p has adopted. early is fed before
// anything else is read.
func (s *Server) start(c *Conn, p poller, early []byte, open func(*Conn) Session) {
	c.id, c.server, c.session = s.ids.Add(1), s, closedSession{}
	c.entry.slot = slotNone
	c.heard()
	c.guard(func() { c.session = open(c) })
	late := s.wheel.add(c, s.wheel.time()+s.pinging)
	if len(early) > 0 {
		c.guard(func() { c.feed(early) })
	}
	p.watch(c)
	if late {
		s.turnAway(c)
	}
}

// turnAway is for a connection that came after wheel.leave.
func (s *Server) turnAway(c *Conn) {
	c.sendAway()
	select {
	case <-s.stop: // the clock does not end those that don't answer
		c.end(reason.Drain)
	default:
	}
}

// nextPoller is whose turn it is to take a socket. There must be one.
func (s *Server) nextPoller() poller { return s.pollers[int(s.next.Add(1))%len(s.pollers)] }

// adopt gives the socket to the next event loop, or else to a goroutine.
func (s *Server) adopt(c *Conn, nc net.Conn) poller {
	if len(s.pollers) > 0 {
		p := s.nextPoller()
		if d, err := p.adopt(c, nc); err == nil {
			c.driver = d
			return p
		}
	}
	st := newBlocking(nc)
	c.driver = st
	return st
}

// closedSession stands in for a session until there is one, and where its
// making panicked.
type closedSession struct{}

func (closedSession) Message(Opcode, []byte) {}
func (closedSession) Pong([]byte)            {}
func (closedSession) Drained()               {}
func (closedSession) Timeout()               {}
func (closedSession) Closed(reason.Reason)   {}
