package work_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/tsp"
)

// TestGauges_ShowTheStore is not parallel: OpenTelemetry has one meter provider per
// process.
func TestGauges_ShowTheStore(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })

	release := make(chan struct{})
	p := &provider{limits: tsp.Limits{InFlight: 2}, answer: func(ctx context.Context, _ int, _ tsp.UserUpdate) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}}
	r := rigOn(t, p)
	for range 5 {
		r.accept(r.change(uuid.New(), "x"))
	}
	stopAcks := r.acker.Observe(metrics.QueueOperations)
	stop := r.worker()
	var got map[string]float64
	require.Eventually(t, func() bool { got = gaugesOf(t, reader); return got["writeback.operations.pending in_flight"] == 2 },
		20*time.Second, 50*time.Millisecond)
	require.EqualValues(t, 8, got["writeback.slots"])
	require.EqualValues(t, 6, got["writeback.slots.free"])
	require.EqualValues(t, 3, got["writeback.operations.pending rate_limited"])
	require.EqualValues(t, 0, got["writeback.operations.pending ready"], "three more are ready, but the lane has no room")
	require.Positive(t, got["writeback.operations.oldest.age"])
	require.Less(t, got["writeback.beat.age"], 5.0)
	require.EqualValues(t, 1, got["writeback.lanes"])
	require.EqualValues(t, 1, got["writeback.lanes.read"])
	require.EqualValues(t, 0, got["writeback.shards.missing"])
	require.Contains(t, got, "writeback.acks.queued")
	close(release)
	stop()
	stopAcks()
	require.Empty(t, gaugesOf(t, reader), "what has stopped shows nothing")
}

func gaugesOf(t *testing.T, reader sdkmetric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	out := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					name := m.Name
					if state, ok := p.Attributes.Value("state"); ok {
						name += " " + state.AsString()
					}
					out[name] = p.Value
				}
			}
		}
	}
	return out
}

// TestRestore_CountsWhatCannotBegin is not parallel, for the same reason.
func TestRestore_CountsWhatCannotBegin(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	r := rigOn(t, &provider{})
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log)
	require.NoError(t, r.js.DeleteStream(t.Context(), natsq.StreamEvents))
	require.Error(t, restorer.Restore(t.Context(), []int{1, 2}))

	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	counted := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != "writeback.rebuilds" {
				continue
			}
			for _, p := range sum.DataPoints {
				result, _ := p.Attributes.Value("result")
				counted[result.AsString()] += p.Value
			}
		}
	}
	require.Equal(t, map[string]int64{"done": 0, "failed": 2}, counted)
}
