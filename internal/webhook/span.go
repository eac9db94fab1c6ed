package webhook

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// mark says on a delivery's span what it tells of.
func (r Reference) mark(span trace.Span) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("writeback.webhook_event", r.Event), attribute.String("writeback.message_id", r.Message.String()),
	)
	if r.Operation != uuid.Nil {
		span.SetAttributes(
			attribute.String("writeback.operation_id", r.Operation.String()), attribute.String("writeback.connection_id", r.Connection.String()),
		)
	}
}

// markEnd says on a delivery's span what came of the attempt: success, or the kind of error.
func markEnd(ctx context.Context, result string) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("writeback.outcome", result))
	if result != "success" {
		span.SetStatus(codes.Error, result)
		span.SetAttributes(semconv.ErrorTypeKey.String(result))
	}
}

// calling begins the client span of a send, if it is part of a sampled trace. It has
// the endpoint's host and nothing else of its URL, which may hold a token; the trace
// is not told to the endpoint.
func calling(ctx context.Context, r *http.Request) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, trace.SpanFromContext(context.Background())
	}
	port := r.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	n, _ := strconv.Atoi(port)
	return otel.Tracer("writeback/webhook").Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes( //nolint:spancheck // the caller ends it
		semconv.HTTPRequestMethodKey.String(r.Method),
		semconv.URLScheme(r.URL.Scheme),
		semconv.ServerAddress(r.URL.Hostname()),
		semconv.ServerPort(n),
	))
}

// called ends the span of a send; status zero: there was no answer.
func called(span trace.Span, status int) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if status == 0 {
		span.SetStatus(codes.Error, "no answer")
		span.SetAttributes(semconv.ErrorTypeOther)
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusBadRequest {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
}
