//go:build linux && !portable

package transport

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"belfry/internal/reason"
)

// answer is the http.ResponseWriter for a visitor. What is written is kept until
// the handler returns, and closes the socket; upgrade makes a connection of it.
type answer struct {
	visitor *visitor
	early   []byte // what came behind the head
	header  http.Header
	status  int
	body    []byte
	done    bool // the socket is somebody else's, or closed
}

func (w *answer) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

func (w *answer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

func (w *answer) Write(b []byte) (int, error) {
	if w.done {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *answer) upgrade(c *Conn, head []byte) (poller, []byte, error) {
	if w.done {
		return nil, nil, http.ErrHijacked
	}
	w.done = true
	return w.visitor.loop, w.early, w.visitor.upgrade(c, head)
}

// run calls the handler and sends its answer. A panic costs this socket only.
func (w *answer) run(h http.HandlerFunc, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != http.ErrAbortHandler {
			w.visitor.door.log.Error("a socket is closed because of a bug", "reason", reason.Internal.String(),
				"err", fmt.Errorf("panic in a handler: %v", p), "stack", string(debug.Stack()))
		}
		if !w.done {
			w.visitor.end()
		}
	}()
	h(w, r)
	switch {
	case w.done:
	case w.status == 0 && r.Context().Err() != nil: // nobody waits, and an empty 200 would say something
		w.done = true
		w.visitor.end()
	default:
		w.done = true
		w.send()
	}
}

// send writes the answer, which the socket's buffer has room for, nearly always.
func (w *answer) send() {
	v, b := w.visitor, w.append(nil)
	n, err := v.loop.writeTo(int(v.fd), b)
	if err == nil && n < len(b) {
		go v.sendRest(b[n:])
		return
	}
	v.end()
}

// sendRest goes on with a large answer as net does, on a duplicate.
func (v *visitor) sendRest(b []byte) {
	defer v.end()
	fd, err := unix.FcntlInt(uintptr(v.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	nc, err := netConn(fd)
	if err != nil {
		return
	}
	_ = nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = nc.Write(b)
	_ = nc.Close()
}

func (w *answer) append(b []byte) []byte {
	h := w.Header()
	w.WriteHeader(http.StatusOK)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(w.status)...)
	b = append(b, "\r\n"...)
	if len(w.body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", http.DetectContentType(w.body))
	}
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(len(w.body)))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	buf := bytes.NewBuffer(b)
	_ = h.Write(buf) // to memory
	buf.WriteString("\r\n")
	buf.Write(w.body)
	return buf.Bytes()
}
