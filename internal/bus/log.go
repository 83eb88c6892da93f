package bus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// serverLog hands the embedded server's log to slog and keeps its first fatal
// error. Without a logger such an error is silent: the server just never
// becomes ready.
type serverLog struct {
	log     *slog.Logger
	repeats [len(aboutRoutes)]quiet

	mu     sync.Mutex // guards the following
	fatal  error
	routes error // what was wrong with a route last
}

// fatalError is what the server logged as fatal, with the error behind it, so
// that errors.Is sees through to the system's.
type fatalError struct {
	text  string
	cause error
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }

// failed returns the first fatal error so far.
func (l *serverLog) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// Noticef is debug to us: a server that starts says a dozen things.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(said(format, v)) }

func (l *serverLog) Warnf(format string, v ...any) {
	text := said(format, v)
	// Nothing that our configuration could change: it has nats.password, which
	// is as plain as the file that it stands in.
	if strings.HasPrefix(text, "Plaintext passwords") {
		return
	}
	// Every two seconds; what a node waits for is said by the gateway.
	if strings.HasPrefix(text, "Waiting for routing") {
		return
	}
	l.log.Warn(text)
}

// Errorf also keeps what concerns a route: it is why a node waits.
func (l *serverLog) Errorf(format string, v ...any) {
	text := said(format, v)
	if kind, err := routeTroubleIn(text, v); err != nil {
		l.mu.Lock()
		l.routes = err
		l.mu.Unlock()
		if !l.repeats[kind].pass("") { // each node tries each other one every second
			return
		}
	}
	l.log.Error(text)
}

// routeTrouble is what was wrong with a route last.
func (l *serverLog) routeTrouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes
}

func (l *serverLog) Fatalf(format string, v ...any) {
	fatal := &fatalError{text: said(format, v)}
	for _, a := range v {
		if err, ok := a.(error); ok {
			fatal.cause = err
			break
		}
	}
	l.mu.Lock()
	if l.fatal == nil {
		l.fatal = fatal
	}
	l.mu.Unlock()
	l.log.Error(fatal.text)
}

func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// said formats a line. A parser error quotes what the client sent, which may
// be a token or a payload: that part is withheld.
func said(format string, v []any) string {
	text, _, quoted := strings.Cut(fmt.Sprintf(format, v...), "proto=")
	if quoted {
		text += "(what was sent is not logged)"
	}
	return strings.TrimSpace(text)
}

// quiet lets a line that repeats through once in each interval: the client
// tries to connect ten times a second, and a missing permission errs with
// every request. The zero value is ready.
type quiet struct {
	mu   sync.Mutex
	text string
	at   time.Time
}

const quietFor = 10 * time.Second

func (q *quiet) pass(text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if text == q.text && !q.at.IsZero() && time.Since(q.at) < quietFor {
		return false
	}
	q.text, q.at = text, time.Now()
	return true
}
