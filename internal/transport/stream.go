package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"belfry/internal/reason"
)

// AcceptStream answers a request with 200 and these headers, and then with
// whatever the session writes, until it closes: an EventSource stream. A plain
// HTTP/1.1 connection goes into the event loop as a WebSocket does; TLS and
// HTTP/2 take a goroutine, and over HTTP/2 AcceptStream returns only when the
// stream has ended.
//
// It returns Limit, with nothing answered, when there are as many connections as
// there may be, and Drain when there may be none any more.
func (s *Server) AcceptStream(w http.ResponseWriter, r *http.Request, dialect string, header http.Header, open func(*Conn) Session) reason.Reason {
	index := s.stats.dialect(dialect)
	if why := s.reserve(index); why != reason.None {
		return why
	}
	c := &Conn{dialect: index, flags: busy | stream}
	c.deaf.Store(true)
	if r.ProtoMajor != 1 {
		nc := newResponse(w, r, header)
		s.start(c, s.adopt(c, nc), nil, open)
		<-nc.finished
		return reason.None
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = header.Write(&head) // to memory
	head.WriteString("Connection: close\r\n\r\n")
	if err := s.upgrade(c, w, head.Bytes(), open); err != nil {
		return s.brokeOff(index, err)
	}
	return reason.None
}

// response is an HTTP/2 response as a connection. Read waits for its end.
type response struct {
	net.Conn // nil: only what blocking calls is there
	w        http.ResponseWriter
	control  *http.ResponseController
	request  context.Context
	ended    context.Context
	end      context.CancelFunc
	finished chan struct{} // closed when nobody will call it again
}

func newResponse(w http.ResponseWriter, r *http.Request, header http.Header) *response {
	for key, values := range header {
		w.Header()[key] = values
	}
	ended, end := context.WithCancel(context.Background())
	nc := &response{w: w, control: http.NewResponseController(w), request: r.Context(), ended: ended, end: end, finished: make(chan struct{})}
	w.WriteHeader(http.StatusOK)
	_ = nc.control.Flush() // what fails now fails again in Write
	return nc
}

func (nc *response) Read([]byte) (int, error) {
	select {
	case <-nc.request.Done():
	case <-nc.ended.Done():
	}
	return 0, io.EOF
}

// writeTimeout is how long one write to a response may take. A test's is shorter.
var writeTimeout = 30 * time.Second

func (nc *response) Write(b []byte) (int, error) {
	_ = nc.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it is supported
	n, err := nc.w.Write(b)
	if err == nil {
		err = nc.control.Flush()
	}
	// An HTTP/2 stream is reset at its deadline, also where nothing is being written.
	_ = nc.control.SetWriteDeadline(time.Time{})
	return n, err
}

func (nc *response) Close() error {
	nc.end()
	return nil
}
