package app

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/transport"
)

// scarce is a listener that has no descriptor now and then.
type scarce struct {
	net.Listener
	accepts []error // what each Accept returns, nil for a socket
	sockets []*socket
	before  func(n int) // called before each Accept
	n       int
}

type socket struct {
	net.Conn
	closed bool
}

func (s *socket) Close() error { s.closed = true; return nil }

func (s *scarce) Accept() (net.Conn, error) {
	if s.before != nil {
		s.before(s.n)
	}
	if s.n == len(s.accepts) {
		return nil, net.ErrClosed
	}
	s.n++
	if err := s.accepts[s.n-1]; err != nil {
		return nil, err
	}
	c := &socket{}
	s.sockets = append(s.sockets, c)
	return c, nil
}

func emfile() error {
	return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}

func newAcceptor(inner net.Listener, refused *int) *acceptor[net.Conn] {
	return &acceptor[net.Conn]{
		accept:  inner.Accept,
		full:    func(int) bool { return false },
		refused: func() { *refused++ },
		log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func TestWithoutDescriptorsAClientIsTurnedAwayAtOnce(t *testing.T) {
	refused := 0
	var soft syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &soft); err != nil {
		t.Fatal(err)
	}
	scarcity := func(on bool) {
		now := soft
		if on {
			now.Cur = 0 // no further descriptor for this process
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
	}
	defer scarcity(false)
	inner := &scarce{accepts: []error{emfile(), nil, nil}}
	inner.before = func(n int) { scarcity(n == 1) } // the reserve can't be had again after the first
	l := newAcceptor(inner, &refused)
	c, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	if refused != 1 || !inner.sockets[0].closed {
		t.Errorf("%d refused, closed %v; want the first socket closed", refused, inner.sockets[0].closed)
	}
	if c != inner.sockets[1] || inner.sockets[1].closed {
		t.Error("the second socket is not handed on")
	}
}

func TestADescriptorThatIsThereAgainServesTheClient(t *testing.T) {
	refused := 0
	inner := &scarce{accepts: []error{emfile(), nil}}
	l := newAcceptor(inner, &refused)
	c, err := l.next()
	if err != nil || refused != 0 || c != inner.sockets[0] {
		t.Errorf("%v, %d refused", err, refused)
	}
}

// Whatever the error, a client that comes behind it is served, and the acceptor
// does not spin until then.
func TestTheAcceptorOutlivesEveryError(t *testing.T) {
	failed := func(errno syscall.Errno) error {
		return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", errno)}
	}
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		// EMFILE comes twice: not even the reserve helps.
		inner := &scarce{accepts: []error{failed(syscall.ENOMEM), failed(syscall.ENOBUFS), failed(syscall.EPERM), failed(syscall.ENETDOWN),
			io.EOF, emfile(), emfile(), nil}}
		l := newAcceptor(inner, &refused)
		var logged bytes.Buffer
		l.log = slog.New(slog.NewTextHandler(&logged, nil))
		began := time.Now()
		c, err := l.next()
		if err != nil || c != inner.sockets[0] || refused != 0 {
			t.Errorf("%v, %d refused", err, refused)
		}
		if took := time.Since(began); took != (1+2+4+8+16+32)*minPause {
			t.Errorf("paused for %v", took)
		}
		if n := strings.Count(logged.String(), "\n"); n != 1 || !strings.Contains(logged.String(), "cannot allocate memory") {
			t.Errorf("logged, where one line with the first error is wanted: %s", &logged)
		}
		if _, err := l.next(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestTheAcceptorComesBackWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		inner := &scarce{accepts: slices.Repeat([]error{syscall.ENOMEM}, 100)}
		l := newAcceptor(inner, &refused)
		var logged bytes.Buffer
		l.log = slog.New(slog.NewTextHandler(&logged, nil))
		began, longest, last := time.Now(), time.Duration(0), time.Now()
		inner.before = func(int) {
			longest, last = max(longest, time.Since(last)), time.Now()
		}
		if _, err := l.next(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if longest != maxPause {
			t.Errorf("the longest pause was %v, want %v", longest, maxPause)
		}
		if lines, most := strings.Count(logged.String(), "\n"), 1+int(time.Since(began)/warnEvery); lines < 2 || lines > most {
			t.Errorf("%d lines in %v", lines, time.Since(began))
		}
	})
}

func TestTooManySocketsAreClosedUnread(t *testing.T) {
	refused := 0
	inner := &scarce{accepts: []error{nil, nil, nil}}
	l := newAcceptor(inner, &refused)
	l.full = func(sockets int) bool { return sockets >= 1 }
	c, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	l.state(c, http.StateNew)
	if _, err := l.next(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if refused != 2 || !inner.sockets[1].closed || inner.sockets[0].closed {
		t.Errorf("%d refused", refused)
	}
	l.state(c, http.StateActive)
	l.state(c, http.StateHijacked) // a connection now, and no longer a socket
	if n := l.sockets.Load(); n != 0 {
		t.Errorf("%d sockets", n)
	}
}

// fakeDoor accepts from a listener.
type fakeDoor struct {
	transport.Door
	inner   net.Listener
	welcome []io.Closer
}

func (d *fakeDoor) AcceptSocket() (io.Closer, error) { return d.inner.Accept() }
func (d *fakeDoor) Welcome(s io.Closer)              { d.welcome = append(d.welcome, s) }

// Errors do not end a door, only its end does.
func TestADoorOutlivesAScarcity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &scarce{accepts: []error{nil, emfile(), emfile(), emfile(), emfile(), syscall.ENOMEM, nil, net.ErrClosed}}
		door := &fakeDoor{inner: inner}
		at := &boundedDoor{Door: door}
		at.accept, at.full, at.log = door.AcceptSocket, func(int) bool { return false }, slog.New(slog.DiscardHandler)
		began := time.Now()
		at.welcome()
		if len(door.welcome) != 2 || at.sockets.Load() != 2 {
			t.Errorf("%d sockets were welcomed, %d counted; want 2", len(door.welcome), at.sockets.Load())
		}
		if took := time.Since(began); took != (1+2+4)*minPause { // an attempt with the reserve is in each EMFILE's
			t.Errorf("paused for %v", took)
		}
	})
}

func TestAPanicInAHandlerIsAnswered(t *testing.T) {
	var logged bytes.Buffer
	h := recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }), slog.New(slog.NewTextHandler(&logged, nil)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "a bug") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	for _, part := range []string{"a bug", "reason=internal", "listener_test.go"} {
		if !strings.Contains(logged.String(), part) {
			t.Errorf("the log lacks %q: %s", part, logged.String())
		}
	}
}
