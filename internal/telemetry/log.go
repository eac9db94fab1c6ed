package telemetry

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

func newLogger(cfg Config) *slog.Logger {
	level, out := cfg.Level, cfg.Output
	if level == nil {
		var l slog.Level
		if l.UnmarshalText([]byte(os.Getenv("WRITEBACK_LOG_LEVEL"))) != nil {
			l = slog.LevelInfo
		}
		level = l
	}
	if out == nil {
		out = os.Stderr
	}
	h := traceHandler{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})}
	return slog.New(h).With("service", cfg.Service, "version", cfg.Version)
}

// traceHandler adds the ids of the context's span to each record. Inside a group
// (slog.Logger.WithGroup) they land in that group.
type traceHandler struct{ slog.Handler }

// Handle adds trace_id and span_id, if there is a span, and passes the record on.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapper around the derived handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapper around the derived handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// errorLog logs OpenTelemetry's own errors, one a minute at most: a collector
// that is away would otherwise fill the log.
type errorLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	next    time.Time
	skipped int
}

const errorLogGap = time.Minute

func newErrorLog(log *slog.Logger, now func() time.Time) *errorLog {
	return &errorLog{log: log, now: now}
}

// Handle logs the error, or counts it if the last one was logged a moment ago.
func (e *errorLog) Handle(err error) {
	e.mu.Lock()
	now := e.now()
	if now.Before(e.next) {
		e.skipped++
		e.mu.Unlock()
		return
	}
	skipped := e.skipped
	e.next, e.skipped = now.Add(errorLogGap), 0
	e.mu.Unlock()
	e.log.Warn("telemetry is not exported", "error", err, "skipped", skipped)
}
