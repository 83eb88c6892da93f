package ask

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"belfry/internal/reason"
)

// A Log logs outcomes. When a backend is away for seconds, thousands of clients
// fail alike: of each outcome but Accepted there is at most one line a second,
// which says how many like it were left out before. All are counted in the
// metrics.
type Log struct {
	log   *slog.Logger
	texts [Outcomes]string

	mu    sync.Mutex // guards the following
	kinds [Outcomes]struct {
		quietUntil time.Time
		leftOut    int
	}
}

// NewLog makes a log with a text for each outcome.
func NewLog(log *slog.Logger, texts [Outcomes]string) *Log { return &Log{log: log, texts: texts} }

// About says what an outcome is about; what is empty is left out.
type About struct{ Conn, User, Channel string }

var levels = [Outcomes]slog.Level{
	Accepted: slog.LevelDebug, Refused: slog.LevelInfo,
	TimedOut: slog.LevelWarn, Unavailable: slog.LevelWarn, Invalid: slog.LevelWarn,
}

// Note logs an outcome, its reason and what there is to say of it, if it is its
// turn.
func (l *Log) Note(o Outcome, why reason.Reason, about About, err error) {
	if !l.log.Enabled(context.Background(), levels[o]) {
		return
	}
	leftOut, ok := l.turn(o)
	if !ok {
		return
	}
	var attrs []slog.Attr
	for _, a := range []struct{ key, value string }{{"conn", about.Conn}, {"user", about.User}, {"channel", about.Channel}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if why != reason.None {
		attrs = append(attrs, slog.String("reason", why.String()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	l.log.LogAttrs(context.Background(), levels[o], l.texts[o], attrs...)
}

// turn says whether an outcome may be logged now, and how many were not.
func (l *Log) turn(o Outcome) (leftOut int, ok bool) {
	if o == Accepted {
		return 0, true
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := &l.kinds[o]
	if now.Before(kind.quietUntil) {
		kind.leftOut++
		return 0, false
	}
	leftOut = kind.leftOut
	kind.leftOut, kind.quietUntil = 0, now.Add(time.Second)
	return leftOut, true
}
