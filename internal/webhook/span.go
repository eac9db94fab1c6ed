package webhook

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

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
