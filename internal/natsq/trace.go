package natsq

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/metrics"
	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

const (
	headerParent = "traceparent"
	headerState  = "tracestate"
)

// traffic is what is measured of the messages, by the conventions for messaging.
type traffic struct {
	duration, process *metrics.Histogram
	sent, consumed    *metrics.Counter
}

func newSending() traffic {
	set := metrics.New(nil)
	return traffic{duration: set.Histogram(metrics.MessagingDuration), sent: set.Counter(metrics.MessagingSent)}
}

func newReceiving() traffic {
	set := metrics.New(nil)
	return traffic{process: set.Histogram(metrics.MessagingProcess), consumed: set.Counter(metrics.MessagingConsumed)}
}

// carrying gives the message the trace that it belongs to, and begins the span of its
// publish. An operation whose request was not sampled costs no span; the message of
// one that is published later, by the outbox, belongs to the trace of its request.
func carrying(ctx context.Context, msg *nats.Msg, a operation.Accepted) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() && sampled(a.TraceParent) {
		ctx = telemetry.Extract(ctx, a.TraceParent, a.TraceState)
	}
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		if a.TraceParent != "" {
			msg.Header.Set(headerParent, a.TraceParent)
			if a.TraceState != "" {
				msg.Header.Set(headerState, a.TraceState)
			}
		}
		return ctx, trace.SpanFromContext(context.Background())
	}
	ctx, span := otel.Tracer("writeback/natsq").Start(ctx, "publish "+msg.Subject,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			semconv.MessagingSystemKey.String(metrics.SystemNATS),
			semconv.MessagingOperationTypeSend,
			semconv.MessagingOperationName(metrics.OperationPublish),
			semconv.MessagingDestinationName(msg.Subject),
			semconv.MessagingMessageConversationID(a.ID.String()),
			semconv.MessagingMessageBodySize(len(msg.Data)),
		))
	parent, state := telemetry.Inject(ctx)
	msg.Header.Set(headerParent, parent)
	if state != "" {
		msg.Header.Set(headerState, state)
	}
	return ctx, span
}

// sampled reads the flag of a traceparent without the rest.
func sampled(parent string) bool {
	i := strings.LastIndexByte(parent, '-')
	return i >= 0 && strings.HasSuffix(parent[i:], "1")
}

// published ends the span of a publish and counts it.
func (t traffic) published(ctx context.Context, span trace.Span, subject string, began time.Time, err error) {
	mishap := ""
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		mishap = metrics.ErrorTimeout
	case errors.Is(err, ErrAway):
		mishap = metrics.ErrorAway
	default:
		mishap = metrics.Other
	}
	if mishap != "" && span.IsRecording() {
		span.SetStatus(codes.Error, mishap)
		span.SetAttributes(semconv.ErrorTypeKey.String(mishap))
	}
	span.End()
	t.duration.Record(ctx, time.Since(began).Seconds(), metrics.SystemNATS, metrics.OperationPublish, subject, mishap)
	t.sent.Add(ctx, 1, metrics.SystemNATS, metrics.OperationPublish, subject, mishap)
}

// received counts a message and begins the span of what is done with it, if the
// message belongs to a trace that is sampled.
func (t traffic) received(ctx context.Context, msg jetstream.Msg, group string) (context.Context, trace.Span) {
	t.consumed.Add(ctx, 1, metrics.SystemNATS, metrics.OperationFetch, msg.Subject(), group)
	header := msg.Headers()
	parent := header.Get(headerParent)
	if !sampled(parent) {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return otel.Tracer("writeback/natsq").Start(telemetry.Extract(ctx, parent, header.Get(headerState)), //nolint:spancheck // the caller ends it
		"process "+msg.Subject(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			semconv.MessagingSystemKey.String(metrics.SystemNATS),
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(msg.Subject()),
			semconv.MessagingConsumerGroupName(group),
			semconv.MessagingMessageBodySize(len(msg.Data())),
		))
}

// processed ends the span of a message and measures it.
func (t traffic) processed(ctx context.Context, span trace.Span, msg jetstream.Msg, group string, began time.Time, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, "given back")
	}
	span.End()
	t.process.Record(ctx, time.Since(began).Seconds(), metrics.SystemNATS, msg.Subject(), group)
}
