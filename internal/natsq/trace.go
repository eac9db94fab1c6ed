package natsq

import (
	"context"
	"errors"
	"slices"
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

// carried is the trace that a message carries.
type carried struct{ parent, state string }

func (c carried) put(h nats.Header) {
	if c.parent == "" {
		return
	}
	h.Set(headerParent, c.parent)
	if c.state != "" {
		h.Set(headerState, c.state)
	}
}

// putMany gives a message of many the trace of each, in order, if one of them is
// sampled. None is an empty value.
func putMany(h nats.Header, all []carried) {
	if !slices.ContainsFunc(all, func(c carried) bool { return sampled(c.parent) }) {
		return
	}
	parents, states := make([]string, len(all)), make([]string, len(all))
	for i, c := range all {
		parents[i], states[i] = c.parent, c.state
	}
	h[headerParent] = parents
	if slices.ContainsFunc(states, func(s string) bool { return s != "" }) {
		h[headerState] = states
	}
}

// carriedBy gives the trace of one of the things that a message says. A message of one
// request has one for all of them.
func carriedBy(h nats.Header, at int) carried {
	nth := func(values []string) string {
		switch {
		case len(values) == 1:
			return values[0]
		case at < len(values):
			return values[at]
		}
		return ""
	}
	return carried{nth(h[headerParent]), nth(h[headerState])}
}

// carrying gives the trace that a message is to carry, and begins the span of its
// publish. An operation whose request was not sampled costs no span; the message of
// one that is published later, by the outbox, belongs to the trace of its request.
func carrying(ctx context.Context, subject string, size, n int, a *operation.Accepted) (context.Context, trace.Span, carried) {
	if !trace.SpanContextFromContext(ctx).IsValid() && sampled(a.TraceParent) {
		ctx = telemetry.Extract(ctx, a.TraceParent, a.TraceState)
	}
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, trace.SpanFromContext(context.Background()), carried{a.TraceParent, a.TraceState}
	}
	ctx, span := otel.Tracer("writeback/natsq").Start(ctx, "publish "+subject,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			semconv.MessagingSystemKey.String(metrics.SystemNATS),
			semconv.MessagingOperationTypeSend,
			semconv.MessagingOperationName(metrics.OperationPublish),
			semconv.MessagingDestinationName(subject),
			semconv.MessagingMessageBodySize(size),
		))
	if n == 1 {
		span.SetAttributes(semconv.MessagingMessageConversationID(a.ID.String()))
	}
	parent, state := telemetry.Inject(ctx)
	return ctx, span, carried{parent, state}
}

// sampled reads the flag of a traceparent without the rest.
func sampled(parent string) bool {
	i := strings.LastIndexByte(parent, '-')
	return i >= 0 && strings.HasSuffix(parent[i:], "1")
}

// published ends the spans of those who shared a message, and counts it.
func (t traffic) published(subject string, batch []*parcel, err error) {
	mishap, n := mishapOf(err), 0
	for _, c := range batch {
		n += c.n
	}
	for _, c := range batch {
		if c.span.IsRecording() {
			ended(c.span, subject, n, mishap)
		}
	}
	first := batch[0]
	t.duration.Record(first.ctx, time.Since(first.began).Seconds(), metrics.SystemNATS, metrics.OperationPublish, subject, mishap)
	t.sent.Add(first.ctx, n, metrics.SystemNATS, metrics.OperationPublish, subject, mishap)
}

// ended ends the span of a publish. Where it went is known only now.
func ended(span trace.Span, subject string, n int, mishap string) {
	if n > 1 {
		span.SetName("publish " + subject)
		span.SetAttributes(semconv.MessagingDestinationName(subject), semconv.MessagingBatchMessageCount(n))
	}
	if mishap != "" {
		span.SetStatus(codes.Error, mishap)
		span.SetAttributes(semconv.ErrorTypeKey.String(mishap))
	}
	span.End()
}

func mishapOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return metrics.ErrorTimeout
	case errors.Is(err, ErrAway):
		return metrics.ErrorAway
	}
	return metrics.Other
}

// received counts what a message says.
func (t traffic) received(ctx context.Context, msg jetstream.Msg, group string, n int) {
	t.consumed.Add(ctx, n, metrics.SystemNATS, metrics.OperationFetch, msg.Subject(), group)
}

// processing begins the span of what is done with one of the things that a message
// says, if that belongs to a trace that is sampled.
func processing(ctx context.Context, msg jetstream.Msg, at int, group string) (context.Context, trace.Span) {
	from := carriedBy(msg.Headers(), at)
	if !sampled(from.parent) {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return otel.Tracer("writeback/natsq").Start(telemetry.Extract(ctx, from.parent, from.state), //nolint:spancheck // the caller ends it
		"process "+msg.Subject(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			semconv.MessagingSystemKey.String(metrics.SystemNATS),
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(msg.Subject()),
			semconv.MessagingConsumerGroupName(group),
			semconv.MessagingMessageBodySize(len(msg.Data())),
		))
}

// processed ends that span and measures it.
func (t traffic) processed(ctx context.Context, span trace.Span, msg jetstream.Msg, group string, began time.Time, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, "given back")
		span.SetAttributes(semconv.ErrorTypeOther)
	}
	span.End()
	t.process.Record(ctx, time.Since(began).Seconds(), metrics.SystemNATS, msg.Subject(), group)
}
