package httpcall

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const tracerName = "writeback/pkg/tsp/httpcall"

// unrecorded is the span of a call whose trace nobody records.
var unrecorded = trace.SpanFromContext(context.Background())

// calling begins the client span of a call, and tells the provider its trace. Within a
// trace that nobody records there is none, and the provider gets the caller's. The span
// has the host and nothing else of the address: some providers want a key, a session or
// a person's data in its path or query.
func (c *Client) calling(ctx context.Context, r *http.Request) trace.Span {
	span, provider := unrecorded, otel.GetTracerProvider()
	within := trace.SpanFromContext(ctx)
	if within.SpanContext().IsValid() {
		provider = within.TracerProvider()
	}
	if !within.SpanContext().IsValid() || within.SpanContext().IsSampled() {
		ctx, span = provider.Tracer(tracerName).Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindClient))
	}
	c.carry.Inject(ctx, propagation.HeaderCarrier(r.Header))
	if !span.IsRecording() {
		return span
	}
	span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(r.Method), semconv.URLScheme(r.URL.Scheme),
		semconv.ServerAddress(r.URL.Hostname()), semconv.ServerPort(portOf(r.URL)),
	)
	return span
}

// portOf gives the port that a call goes to, the usual one where the URL has none.
func portOf(u *url.URL) int {
	port, err := strconv.Atoi(u.Port())
	switch {
	case err == nil:
		return port
	case u.Scheme == "http":
		return 80
	default:
		return 443
	}
}

// answered says how a call went.
func answered(span trace.Span, resp *http.Response, err error) {
	switch {
	case !span.IsRecording():
	case err != nil:
		span.SetStatus(codes.Error, "no answer") // the error may repeat what came in place of one
		span.SetAttributes(semconv.ErrorType(err))
	default:
		span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
		if resp.StatusCode >= http.StatusBadRequest {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
		}
	}
}
