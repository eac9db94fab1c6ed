package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type idsKey struct{}

// WithIDs fixes the ids of the span that is started with the context it gives, so
// that whoever comes later can link to it without having been told of it. That
// context is for the one start only: a span below it would get the same ids.
func WithIDs(ctx context.Context, traceID trace.TraceID, spanID trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, trace.SpanContextConfig{TraceID: traceID, SpanID: spanID})
}

// idGenerator makes random ids, but for spans whose ids are fixed; see WithIDs.
type idGenerator struct{}

var _ sdktrace.IDGenerator = idGenerator{}

// NewIDs gives the ids of a span that begins a trace.
func (idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if fixed, ok := ctx.Value(idsKey{}).(trace.SpanContextConfig); ok && fixed.TraceID.IsValid() && fixed.SpanID.IsValid() {
		return fixed.TraceID, fixed.SpanID
	}
	var id trace.TraceID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, randomSpanID()
}

// NewSpanID gives the id of a span within a trace.
func (idGenerator) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if fixed, ok := ctx.Value(idsKey{}).(trace.SpanContextConfig); ok && fixed.SpanID.IsValid() {
		return fixed.SpanID
	}
	return randomSpanID()
}

func randomSpanID() trace.SpanID {
	var id trace.SpanID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
