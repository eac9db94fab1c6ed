package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/auth"
	"writeback/internal/wire"
)

// unmatched is the route of a request that no pattern takes, so that invented
// paths cannot make new metric labels.
const unmatched = "unmatched"

const maxRequestID = 128

// trail is what a request leaves behind for its one log line. The steps of the
// request fill it in; it is used by one goroutine.
type trail struct {
	requestID string
	route     string
	// span is the request's.
	span trace.Span
	// principal is who calls. Zero: nobody, or nobody knows yet.
	principal  auth.Principal
	operation  uuid.UUID
	connection uuid.UUID
	// read is how many bytes of a body were read.
	read int
	// batch counts the elements of a request that has several. Nil: it has not.
	batch *counts
	// code is the class of the refusal. Empty: none.
	code string
	// cause is our own reason for the refusal, never shown. Nil: none.
	cause error
}

// namedID is an id with its key in logs and traces.
type namedID struct {
	key   string
	value uuid.UUID
}

func (t *trail) ids() [3]namedID {
	return [3]namedID{{"partner_id", t.principal.PartnerID}, {"operation_id", t.operation}, {"connection_id", t.connection}}
}

type trailKey struct{}

// trailOf gives the request's trail; outside of a request, one that nobody reads.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{route: unmatched, span: trace.SpanFromContext(ctx)}
}

// Header values of every answer. They are shared: nobody changes them in place.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	noStore    = []string{"no-store"}
	jsonType   = []string{wire.MediaJSON}
)

// ServeHTTP gives every request its id, its headers, its span, its trail, its log line
// and its metric, and keeps a panic inside the request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.now()
	ctx, span := s.begin(r)
	defer span.End()
	t := &trail{requestID: requestID(r), route: unmatched, span: span}
	rec := &recorder{ResponseWriter: w}
	h := rec.Header()
	h["X-Request-Id"] = []string{t.requestID}
	h["X-Content-Type-Options"] = noSniff
	h["Referrer-Policy"] = noReferrer
	h["Content-Security-Policy"] = noContent
	h["Cache-Control"] = noStore
	if id := span.SpanContext().TraceID(); id.IsValid() {
		h[wire.HeaderTraceID] = []string{id.String()}
	}
	verb, scheme := method(r.Method), scheme(r)
	s.meters.active.Add(1, verb, scheme)
	defer s.meters.active.Add(-1, verb, scheme)
	r = r.WithContext(context.WithValue(ctx, trailKey{}, t))
	defer func() { s.report(r, t, rec, s.now().Sub(start)) }()
	s.guard(rec, r)
}

// guard turns a panic into an answer of 500. If the answer has begun there is
// nothing true left to say, and the connection is cut.
func (s *server) guard(w *recorder, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.log.LogAttrs(r.Context(), slog.LevelError, "panic in a request",
			slog.String("request_id", trailOf(r.Context()).requestID),
			slog.String("route", trailOf(r.Context()).route),
			slog.String("panic", fmt.Sprint(p)),
			slog.String("stack", string(debug.Stack())))
		if w.status != 0 {
			panic(http.ErrAbortHandler)
		}
		s.render(w, r, http.StatusInternalServerError, errInternal)
	}()
	s.dispatch(w, r)
}

// report writes the one line of a request and counts it. It names nothing that
// the caller wrote but the request id: no path, query, body or token.
func (s *server) report(r *http.Request, t *trail, answer *recorder, took time.Duration) {
	status := answer.status
	if status == 0 {
		status = http.StatusOK
	}
	ctx := context.WithoutCancel(r.Context())
	s.meters.answered(ctx, r, t.route, status, took)
	if t.route == batchPath {
		s.meters.batch(ctx, status, t.batch)
	}
	t.finish(status, answer.written)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError && status != http.StatusBadGateway {
		level = slog.LevelError
	}
	if s.log.Enabled(ctx, level) {
		s.log.LogAttrs(ctx, level, "request", t.line(r, status, took)...)
	}
}

// line are the fields of the request's log line.
func (t *trail) line(r *http.Request, status int, took time.Duration) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 14),
		slog.String("method", method(r.Method)),
		slog.String("route", t.route),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", t.requestID))
	for _, id := range t.ids() {
		if id.value != uuid.Nil {
			attrs = append(attrs, slog.String(id.key, id.value.String()))
		}
	}
	if b := t.batch; b != nil {
		attrs = append(attrs, slog.Int("elements", b.elements), slog.Int("accepted", b.accepted),
			slog.Int("replayed", b.replayed), slog.Int("refused", b.refused))
	}
	if t.code != "" {
		attrs = append(attrs, slog.String("code", t.code))
	}
	if t.cause != nil {
		attrs = append(attrs, slog.Any("cause", t.cause))
	}
	return attrs
}

// method is a request's method, from a closed set.
func method(verb string) string {
	switch verb {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return verb
	}
	return "_OTHER"
}

// requestID takes the caller's id if it is short and harmless, else makes one.
func requestID(r *http.Request) string {
	given := r.Header.Get("X-Request-Id")
	if given != "" && len(given) <= maxRequestID && plain(given) {
		return given
	}
	return uuid.NewString()
}

func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '_', c == '.', c == ':', c == '/', c == '=', c == '+':
		default:
			return false
		}
	}
	return true
}

// recorder remembers the status that went out, and how many bytes after it.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

// WriteHeader notes the first final status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implies a 200 like the writer below.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
