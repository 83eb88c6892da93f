//go:build linux && !portable

package transport

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
)

// headEnd is where a request's head ends, behind its empty line; 0 where that
// has not come. The first seen bytes were looked at before.
func headEnd(b []byte, seen int) int {
	for at := max(seen-2, 0); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

const get = "GET "

// startsGet tells whether what has come so far may become a GET.
func startsGet(b []byte) bool {
	n := min(len(b), len(get))
	return string(b[:n]) == get[:n]
}

// heads reads heads with net/http's parser. A loop has one.
type heads struct {
	from   bytes.Reader
	reader *bufio.Reader
}

func newHeads() *heads { return &heads{reader: bufio.NewReader(nil)} }

// read returns the request, or nil where it is for an HTTP server to judge:
// it is no GET, has a body or may have one, or is not beyond doubt. http.Server
// checks more than http.ReadRequest does; all of that is refused here too.
func (h *heads) read(head []byte) *http.Request {
	if !plain(head) {
		return nil
	}
	h.from.Reset(head)
	h.reader.Reset(&h.from)
	r, err := http.ReadRequest(h.reader)
	if err != nil || h.reader.Buffered()+h.from.Len() > 0 || !bare(r) {
		return nil
	}
	return r
}

// plain tells whether a head starts as a GET and has no byte that does not
// belong into one.
func plain(head []byte) bool {
	if !bytes.HasPrefix(head, []byte(get)) {
		return false
	}
	for i, c := range head {
		switch {
		case c == '\r':
			if i+1 == len(head) || head[i+1] != '\n' {
				return false
			}
		case c < ' ' && c != '\n' && c != '\t', c == 0x7F:
			return false
		}
	}
	return true
}

// bare tells whether a request is nothing but a head, for a host and a path.
func bare(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.RequestURI[0] != '/' || !plainHost(r.Host) {
		return false
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header["Content-Length"] != nil || r.Header["Expect"] != nil {
		return false
	}
	for name := range r.Header {
		if strings.IndexByte(name, ' ') >= 0 { // which http.ReadRequest allows
			return false
		}
	}
	return true
}

func plainHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == ':', c == '[', c == ']', c == '_':
		default:
			return false
		}
	}
	return host != ""
}
