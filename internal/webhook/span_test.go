package webhook_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// TestSpan_NamesTheOperationItTellsOf: who looks for the traces of an operation or of a
// connection finds its deliveries, and a delivery is called one. Not parallel: OpenTelemetry
// has one tracer provider per process.
func TestSpan_NamesTheOperationItTellsOf(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	r := newRig(t)
	e := newEndpoint(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) })
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	r.work()
	op := r.operation(true)
	var attempt sdktrace.ReadOnlySpan
	require.Eventually(t, func() bool {
		for _, span := range spans.Ended() {
			if span.Name() == "webhook delivery attempt" {
				attempt = span
			}
		}
		return attempt != nil
	}, soon, often)
	has := map[attribute.Key]string{}
	for _, a := range attempt.Attributes() {
		has[a.Key] = a.Value.String()
	}
	require.Equal(t, op.ID.String(), has["writeback.operation_id"])
	require.Equal(t, op.ConnectionID.String(), has["writeback.connection_id"])
	require.Equal(t, s.ID.String(), has["writeback.webhook_id"])
	require.NotEmpty(t, has["writeback.delivery_id"])
	require.Equal(t, operation.EventID(op.ID, operation.EventSucceeded).String(), has["writeback.message_id"])
	require.Equal(t, webhook.EventSucceeded, has["writeback.webhook_event"])
	require.Equal(t, codes.Error, attempt.Status().Code)
	require.Equal(t, has["writeback.outcome"], has["error.type"])
}

// TestSpan_OfWhatCannotBeSent: an attempt that ends its delivery without a send has an error.
func TestSpan_OfWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.subscribe(webhook.New{URL: newEndpoint(t, nil).URL, EventName: webhook.EventSucceeded})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	event := operation.Event{Version: operation.Version, Kind: operation.EventSucceeded, Operation: r.operation(true)}
	require.NoError(t, r.front.fanout.Ended(t.Context(), event))
	out, err := r.front.queue.Next(t.Context(), s.ID, r.front.fanout.Limits(s.ID), []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Len(t, out.Leases, 1)
	require.NoError(t, r.front.Delete(t.Context(), r.partner, s.ID))
	spans := tracetest.NewSpanRecorder()
	ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "attempt")
	outcome := r.front.attempt.Attempt(ctx, out.Leases[0])
	span.End()
	require.Equal(t, operation.ErrorValidation, outcome.Attempt.ErrorType)
	require.Equal(t, codes.Error, spans.Ended()[0].Status().Code)
	require.Contains(t, spans.Ended()[0].Attributes(), attribute.String("error.type", "validation"))
}
