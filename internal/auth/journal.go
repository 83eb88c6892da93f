package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A journal logs outcomes. When a backend is away for seconds, thousands of
// clients fail alike: of each outcome but Accepted there is at most one line a
// second, which says how many like it were left out before. All are counted in
// the metrics.
type journal struct {
	log *slog.Logger

	mu    sync.Mutex // guards the following
	kinds [Outcomes]struct {
		quietUntil time.Time
		leftOut    int
	}
}

var logLines = [Outcomes]struct {
	level slog.Level
	text  string
}{
	Accepted:    {slog.LevelDebug, "authenticated"},
	Refused:     {slog.LevelInfo, "authentication refused by the backend"},
	TimedOut:    {slog.LevelWarn, "authentication timed out"},
	Unavailable: {slog.LevelWarn, "authentication is unavailable"},
	Invalid:     {slog.LevelWarn, "authentication reply is invalid"},
}

func (j *journal) note(conn string, result Result, err error) {
	line := logLines[result.Outcome]
	if !j.log.Enabled(context.Background(), line.level) {
		return
	}
	if result.Outcome == Accepted {
		j.log.Debug(line.text, "conn", conn, "user", result.Identity.User)
		return
	}
	leftOut, ok := j.turn(result.Outcome)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("conn", conn), slog.String("reason", result.Outcome.Reason().String())}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	j.log.LogAttrs(context.Background(), line.level, line.text, attrs...)
}

// turn says whether an outcome may be logged now, and how many were not.
func (j *journal) turn(o Outcome) (leftOut int, ok bool) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	kind := &j.kinds[o]
	if now.Before(kind.quietUntil) {
		kind.leftOut++
		return 0, false
	}
	leftOut = kind.leftOut
	kind.leftOut, kind.quietUntil = 0, now.Add(time.Second)
	return leftOut, true
}
