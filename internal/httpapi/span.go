package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/metrics"
	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

// serverKind is what every span here is started with.
var serverKind = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

// maxTraceState is how many bytes of a caller's tracestate W3C Trace Context wants to be
// kept at least. A longer one is not kept at all: every operation of the request, and every
// delivery that tells of it, would have a copy.
const maxTraceState = 512

// begin starts the span of a request, in the trace that the caller names. It is named after
// the method until there is a route, and has no path, query or agent at all: a caller may
// have written anything into them.
func (s *server) begin(r *http.Request) (context.Context, trace.Span) {
	ctx := r.Context()
	if r.Header["Traceparent"] != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		if given := trace.SpanContextFromContext(ctx); given.TraceState().Len() > 0 && len(given.TraceState().String()) > maxTraceState {
			ctx = trace.ContextWithRemoteSpanContext(ctx, given.WithTraceState(trace.TraceState{}))
		}
	}
	ctx, span := s.tracer.Start(ctx, unrouted(r), serverKind...)
	if span.IsRecording() {
		span.SetAttributes(asked(r)...)
	}
	return ctx, span // ServeHTTP ends it
}

// unrouted is the name of a span without a route, as the conventions have it.
func unrouted(r *http.Request) string {
	if verb := standardMethod(r); verb != metrics.Other {
		return verb
	}
	return "HTTP"
}

// linkRetried links the request's span to the request of the operation that it repeats.
func linkRetried(ctx context.Context, failed operation.Operation) {
	none := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	its := trace.SpanContextFromContext(telemetry.Extract(none, failed.TraceParent, failed.TraceState))
	if its.IsValid() {
		to := []attribute.KeyValue{attribute.String("writeback.link", "retried operation")}
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: its, Attributes: to})
	}
}

// asked are the attributes of a request by the conventions for HTTP servers.
func asked(r *http.Request) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, 9)
	verb := standardMethod(r)
	if out = append(out, semconv.HTTPRequestMethodKey.String(verb), semconv.URLScheme(scheme(r))); verb != r.Method {
		out = append(out, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	if _, version, ok := strings.Cut(r.Proto, "/"); ok {
		out = append(out, semconv.NetworkProtocolVersion(version))
	}
	host, port := hostPort(r.Host)
	out = append(out, semconv.ServerAddress(host))
	if usual := map[string]int{"http": 80, "https": 443}[scheme(r)]; port > 0 && port != usual {
		out = append(out, semconv.ServerPort(port))
	}
	peer, port := hostPort(r.RemoteAddr)
	if peer != "" {
		out = append(out, semconv.NetworkPeerAddress(peer))
		if port > 0 {
			out = append(out, semconv.NetworkPeerPort(port))
		}
	}
	if client := forwarded(r); client != "" {
		peer = client
	}
	if peer != "" {
		out = append(out, semconv.ClientAddress(peer))
	}
	return out
}

// forwarded is the address of the client by those who passed the request on. Empty: they
// say none, or what is no address.
func forwarded(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	host, _ := hostPort(strings.TrimSpace(first))
	if _, err := netip.ParseAddr(host); err != nil {
		return ""
	}
	return host
}

// standardMethod is the method as the conventions have it.
func standardMethod(r *http.Request) string {
	switch verb := strings.ToUpper(r.Method); verb {
	case http.MethodConnect, http.MethodTrace:
		return verb
	default:
		return method(verb)
	}
}

// hostPort splits an address. Zero: it has no port.
func hostPort(address string) (host string, port int) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		if inner, ok := strings.CutPrefix(address, "["); ok {
			return strings.TrimSuffix(inner, "]"), 0
		}
		return address, 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

// finish puts the answer and the ids on the request's span.
func (t *trail) finish(status int, written int64) {
	if !t.span.IsRecording() {
		return
	}
	if status >= http.StatusInternalServerError {
		t.span.SetStatus(codes.Error, "")
		t.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
	t.span.SetAttributes(semconv.HTTPResponseStatusCode(status), attribute.String("writeback.request_id", t.requestID))
	if t.read > 0 {
		t.span.SetAttributes(semconv.HTTPRequestBodySize(t.read))
	}
	if written > 0 {
		t.span.SetAttributes(semconv.HTTPResponseBodySize(int(written)))
	}
	for _, id := range t.ids() {
		if id.value != uuid.Nil {
			t.span.SetAttributes(attribute.String("writeback."+id.key, id.value.String()))
		}
	}
	if b := t.batch; b != nil {
		t.span.SetAttributes(attribute.Int("writeback.batch.elements", b.elements), attribute.Int("writeback.batch.accepted", b.accepted),
			attribute.Int("writeback.batch.replayed", b.replayed), attribute.Int("writeback.batch.refused", b.refused))
	}
}
