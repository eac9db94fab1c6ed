package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// Inject gives the W3C trace context of ctx, to be carried in a message or a
// stored record. Both texts are empty if ctx has no span.
func Inject(ctx context.Context) (parent, state string) {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[traceparent], c[tracestate]
}

// Extract puts a carried W3C trace context into ctx as the remote parent of its
// next span. Texts that are empty or malformed leave ctx as it is.
func Extract(ctx context.Context, parent, state string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: parent, tracestate: state})
}
