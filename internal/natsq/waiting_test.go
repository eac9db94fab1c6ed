package natsq

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"writeback/internal/metrics"
)

// Waiting counts the events of a partner that were read and wait for their turn.
func Waiting(f *Feed, partner uuid.UUID) int {
	f.turns.mu.Lock()
	defer f.turns.mu.Unlock()
	return len(f.turns.waiting[partner])
}

// AllFree reports whether a feed has all the room that it began with.
func AllFree(f *Feed) bool { return f.ahead.TryAcquire(feedAhead) && f.turns.free == feedTogether }

// Check lets a follower look that often whether anything was missed.
func Check(f *Follower, every time.Duration) { f.every = every }

// Measured records the spans of a test, and gives how many messages were sent by a label of
// theirs. The test must not be parallel: OpenTelemetry has one provider of each kind per process.
func Measured(t *testing.T) (spans *tracetest.SpanRecorder, sent func(label attribute.Key) map[string]int64) {
	t.Helper()
	spans = tracetest.NewSpanRecorder()
	reader, meters := sdkmetric.NewManualReader(), otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetMeterProvider(meters); otel.SetTracerProvider(noop.NewTracerProvider()) })
	return spans, func(label attribute.Key) map[string]int64 {
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		sent := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == string(metrics.MessagingSent) {
					for _, p := range data.DataPoints {
						value, _ := p.Attributes.Value(label)
						sent[value.AsString()] += p.Value
					}
				}
			}
		}
		return sent
	}
}
