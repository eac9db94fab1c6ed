package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// errDeadline is why a request's context ends when we took too long.
var errDeadline = errors.New("httpapi: the request's deadline passed")

// errInternal is all that a caller learns of a fault of ours.
var errInternal = &operation.Error{Code: operation.CodeInternal}

// errNoPath answers for what has no route.
var errNoPath = &operation.Error{Code: operation.CodeNotFound, Message: "there is nothing at this path"}

// refusal is a fault of the HTTP exchange itself, which no operation.Code names:
// it carries its status.
type refusal struct {
	status  int
	message string
}

// Error gives the status and the message.
func (e *refusal) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

// fail answers with an error. It is the only place that turns an error into a
// status and a body.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, shown := s.classify(r.Context(), err)
	s.render(w, r, status, shown)
}

// classify finds the status and what the caller may see. What is not one of our
// refusals is internal: logged in full, shown as nothing.
func (s *server) classify(ctx context.Context, err error) (int, *operation.Error) {
	var exchange *refusal
	var known *operation.Error
	switch {
	case errors.As(err, &exchange):
		return exchange.status, &operation.Error{Code: operation.CodeBadRequest, Message: exchange.message}
	case errors.As(err, &known) && known.Code != operation.CodeInternal:
		if known.Err != nil {
			// It goes into the request's own line: a refusal is no event of its own.
			trailOf(ctx).cause = known.Err
		}
		return wire.StatusOf(known.Code), explained(known)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, errDeadline):
		s.log.LogAttrs(ctx, slog.LevelWarn, "request broken off", s.cause(ctx, err)...)
		return http.StatusServiceUnavailable, &operation.Error{
			Code: operation.CodeUnavailable, Message: "there was no answer in time", RetryAfter: time.Second,
		}
	}
	s.log.LogAttrs(ctx, slog.LevelError, "request failed", s.cause(ctx, err)...)
	return http.StatusInternalServerError, errInternal
}

// explained gives an invalid request without faults the one that its message
// tells, since a validation body has no other room for it.
func explained(e *operation.Error) *operation.Error {
	if e.Code != operation.CodeInvalid || len(e.Faults) > 0 {
		return e
	}
	out := *e
	out.Faults = []operation.Fault{{Path: "body", Message: e.Message, Type: "value_error"}}
	return &out
}

// cause are the log fields of an error with everything below it.
func (s *server) cause(ctx context.Context, err error) []slog.Attr {
	t := trailOf(ctx)
	attrs := []slog.Attr{
		slog.String("request_id", t.requestID),
		slog.String("route", t.route),
		slog.Any("error", err),
	}
	var known *operation.Error
	if errors.As(err, &known) && known.Err != nil {
		attrs = append(attrs, slog.Any("cause", known.Err))
	}
	return attrs
}

// render writes an error body with the headers that belong to its status.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, e *operation.Error) {
	trailOf(r.Context()).code = string(e.Code)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(wire.RetryAfterSeconds(e.RetryAfter)))
	}
	s.write(w, r, status, wire.ErrorBody(status, e))
}

// answers are the buffers of answers that went out; see maxKept.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// maxKept is up to how many bytes a buffer is kept for another answer: what a full page
// needs.
const maxKept = 1 << 20

// write answers with JSON. A body that cannot be written is only logged: the
// status has gone out.
func (s *server) write(w http.ResponseWriter, r *http.Request, status int, body any) {
	writeAll(s, w, r, status, wire.MediaJSON, []any{body})
}

// writeAll answers with JSON values, each on a line.
func writeAll[T any](s *server, w http.ResponseWriter, r *http.Request, status int, media string, values []T) {
	kept, _ := answers.Get().(*[]byte)
	text := (*kept)[:0]
	defer func() {
		if *kept = text; cap(text) <= maxKept {
			answers.Put(kept)
		}
	}()
	for _, v := range values {
		var err error
		if text, err = wire.AppendJSON(text, v); err != nil {
			s.log.LogAttrs(r.Context(), slog.LevelError, "an answer could not be encoded", s.cause(r.Context(), err)...)
			status, media = http.StatusInternalServerError, wire.MediaJSON
			text = append(text[:0], `{"message":"Internal Server Error"}`+"\n"...)
			break
		}
		text = append(text, '\n')
	}
	h := w.Header()
	if h["Content-Type"] = jsonType; media != wire.MediaJSON {
		h.Set("Content-Type", media)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "an answer was not taken", s.cause(r.Context(), err)...)
	}
}
