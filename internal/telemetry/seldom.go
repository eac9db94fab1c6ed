package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// seldomEvery is the time between two lines of the same message.
const seldomEvery = 30 * time.Second

// Seldom gives a logger for what is tried again and again while something is away. Of each
// message it writes the first line, and then one every half a minute, which says in
// "skipped" how many there were between. Those are lines at level debug.
func Seldom(log *slog.Logger) *slog.Logger {
	return slog.New(seldom{log.Handler(), &lines{last: map[string]*line{}}})
}

// seldom has few lines stand out. It is safe for concurrent use.
type seldom struct {
	slog.Handler
	lines *lines
}

// lines are the messages that were written, which are few: they are constants.
type lines struct {
	mu   sync.Mutex
	last map[string]*line
}

type line struct {
	written time.Time
	left    int
}

// take says whether a message is written now, and how many were not before it.
func (l *lines) take(message string, at time.Time) (left int, write bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.last[message]
	switch {
	case !ok:
		l.last[message] = &line{written: at}
	case at.Sub(last.written) < seldomEvery:
		last.left++
		return 0, false
	default:
		left, last.written, last.left = last.left, at, 0
	}
	return left, true
}

// Handle writes a record, at level debug if it is one of those between.
func (s seldom) Handle(ctx context.Context, r slog.Record) error {
	left, write := s.lines.take(r.Message, r.Time)
	if !write {
		if r.Level = slog.LevelDebug; !s.Enabled(ctx, r.Level) {
			return nil
		}
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("skipped", left))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs gives one that leaves out the same lines.
func (s seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	return seldom{s.Handler.WithAttrs(attrs), s.lines}
}

// WithGroup gives one that leaves out the same lines.
func (s seldom) WithGroup(name string) slog.Handler {
	return seldom{s.Handler.WithGroup(name), s.lines}
}
