package telemetry

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
)

// newLogger makes the logger of JSON lines; bridge takes the same lines over OTLP,
// nil: nothing does.
func newLogger(cfg Config, bridge log.LoggerProvider) *slog.Logger {
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
	h := &lineHandler{
		json:  slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}),
		fixed: []slog.Attr{slog.String("service", cfg.Service), slog.String("version", cfg.Version)},
	}
	if bridge != nil {
		h.bridge = otelslog.NewHandler("writeback", otelslog.WithLoggerProvider(bridge))
	}
	return slog.New(h)
}

// lineHandler writes each record as one line in which no key is there twice, with
// the ids of the context's span at its top. Values are shown by their type; see
// shown. It is safe for concurrent use.
type lineHandler struct {
	json slog.Handler
	// bridge takes records over OTLP, where the resource has what fixed has and the
	// context the ids. Nil: none.
	bridge slog.Handler
	// fixed stands at the top of every line.
	fixed []slog.Attr
	// scopes are what WithAttrs and WithGroup added, outermost first.
	scopes []scope
}

// scope is a group that was opened with attributes in it; the first has no name.
type scope struct {
	group string
	attrs []slog.Attr
}

// Enabled reports whether the level is logged.
func (h *lineHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.json.Enabled(ctx, l) }

// Handle writes the record.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs := h.attrs(r)
	if h.bridge != nil {
		out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		out.AddAttrs(attrs...)
		_ = h.bridge.Handle(ctx, out)
	}
	top := append(make([]slog.Attr, 0, len(h.fixed)+len(attrs)+2), h.fixed...)
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		top = append(top, slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	reserved := len(top)
	for _, a := range attrs {
		if index(top[:reserved], a.Key) >= 0 || builtIn(a.Key) {
			// What stands there already is the truth about the line; the other is kept.
			if a.Key = "attr." + a.Key; index(top, a.Key) >= 0 {
				continue
			}
		}
		top = append(top, a)
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(top...)
	return h.json.Handle(ctx, out)
}

// builtIn are the keys that the JSON handler writes itself.
func builtIn(key string) bool {
	return key == slog.TimeKey || key == slog.LevelKey || key == slog.MessageKey || key == slog.SourceKey
}

// attrs joins the scopes with the record's own attributes, from the inside out.
func (h *lineHandler) attrs(r slog.Record) []slog.Attr {
	inner := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		inner = append(inner, a)
		return true
	})
	for i := len(h.scopes) - 1; i >= 0; i-- {
		s := h.scopes[i]
		inner = append(append(make([]slog.Attr, 0, len(s.attrs)+len(inner)), s.attrs...), inner...)
		if s.group != "" {
			inner = []slog.Attr{{Key: s.group, Value: slog.GroupValue(inner...)}}
		}
	}
	return unique(make([]slog.Attr, 0, len(inner)), inner)
}

// unique puts attributes into out, each key once: the last value wins, at the place
// of the first. Groups without a name are part of the group around them.
func unique(out, attrs []slog.Attr) []slog.Attr {
	for _, a := range attrs {
		a.Value = shown(a.Value)
		if a.Value.Kind() == slog.KindGroup {
			if a.Key == "" {
				out = unique(out, a.Value.Group())
				continue
			}
			a.Value = slog.GroupValue(unique(nil, a.Value.Group())...)
		}
		switch i := index(out, a.Key); {
		case a.Equal(slog.Attr{}): // slog leaves it out
		case i >= 0:
			out[i].Value = a.Value
		default:
			out = append(out, a)
		}
	}
	return out
}

func index(attrs []slog.Attr, key string) int {
	for i := range attrs {
		if attrs[i].Key == key {
			return i
		}
	}
	return -1
}

// WithAttrs gives a handler that adds the attributes to each record.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(scope{attrs: attrs})
}

// WithGroup gives a handler that puts what follows into a group.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(scope{group: name})
}

func (h *lineHandler) with(s scope) slog.Handler {
	out := *h
	out.scopes = append(h.scopes[:len(h.scopes):len(h.scopes)], s)
	return &out
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
