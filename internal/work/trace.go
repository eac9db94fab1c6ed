package work

import (
	"context"
	"crypto/sha256"
	"strconv"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/telemetry"
	"writeback/pkg/operation/redisstore"
)

const tracerName = "writeback/work"

// startAttempt begins the span of an attempt. The first one is in the trace of the
// request. Each later one has a trace of its own, which may be hours after, with
// links to the attempt before it and to the request. The caller ends the span, after
// what came of the attempt is recorded and told; that of a call that was not made it leaves.
func (m meters) startAttempt(ctx context.Context, l redisstore.Lease) (context.Context, trace.Span) {
	parent := telemetry.Extract(ctx, l.TraceParent, l.TraceState)
	request := trace.SpanContextFromContext(parent)
	this := attemptContext(l.ID, l.Number, request)
	opts := make([]trace.SpanStartOption, 0, 2)
	if l.Number > 1 && request.IsValid() {
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(
			trace.Link{SpanContext: attemptContext(l.ID, l.Number-1, request), Attributes: linked("previous attempt")},
			trace.Link{SpanContext: request, Attributes: linked("request")},
		))
	}
	_, span := otel.Tracer(tracerName).Start(telemetry.WithIDs(parent, this.TraceID(), this.SpanID()), m.spanName(), opts...)
	if span.IsRecording() {
		id, lane := m.idNames()
		span.SetAttributes(
			attribute.String(id, l.ID.String()),
			attribute.String(lane, l.ConnectionID.String()),
			attribute.String("writeback.partner_id", l.PartnerID.String()),
			attribute.String("writeback.provider", l.Provider),
			attribute.String("writeback.attempt_id", l.AttemptID.String()),
			attribute.Int("writeback.attempt", l.Number),
			attribute.Bool("writeback.sync", l.Sync),
		)
	}
	return trace.ContextWithSpan(ctx, span), span
}

func linked(to string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("writeback.link", to)}
}

// attemptContext gives the ids of an attempt's span. They follow from the operation
// and the number, so that the next attempt can link to this one although another
// process made it, and nobody had to store them.
func attemptContext(operation uuid.UUID, number int, request trace.SpanContext) trace.SpanContext {
	sum := sha256.Sum256(strconv.AppendInt(append(make([]byte, 0, len(operation)+4), operation[:]...), int64(number), 10))
	cfg := trace.SpanContextConfig{TraceID: request.TraceID(), TraceFlags: request.TraceFlags(), Remote: true}
	if number > 1 || !request.IsValid() {
		copy(cfg.TraceID[:], sum[:16])
	}
	copy(cfg.SpanID[:], sum[16:24])
	return trace.NewSpanContext(cfg)
}

// traceOf gives the trace id of the context's span. Empty: there is none.
func traceOf(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// inner begins a span below the context's, if that is sampled.
func inner(ctx context.Context, name string) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return otel.Tracer(tracerName).Start(ctx, name) //nolint:spancheck // the caller ends it
}
