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
	var c carrier
	propagation.TraceContext{}.Inject(ctx, &c)
	return c.parent, c.state
}

// Extract puts a carried W3C trace context into ctx as the remote parent of its
// next span. Texts that are empty or malformed leave ctx as it is.
func Extract(ctx context.Context, parent, state string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, &carrier{parent, state})
}

// carrier holds a W3C trace context.
type carrier struct{ parent, state string }

// Get gives a header.
func (c *carrier) Get(key string) string {
	switch key {
	case traceparent:
		return c.parent
	case tracestate:
		return c.state
	}
	return ""
}

// Set takes a header.
func (c *carrier) Set(key, value string) {
	switch key {
	case traceparent:
		c.parent = value
	case tracestate:
		c.state = value
	}
}

// Keys lists the headers.
func (c *carrier) Keys() []string { return []string{traceparent, tracestate} }
