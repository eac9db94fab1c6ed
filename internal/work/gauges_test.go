package work_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
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

// counters sets a meter provider for a test, which is not parallel for that reason. What it
// gives reads a counter by one of its labels, without what is 0.
func counters(t *testing.T) (counted func(name metrics.Name, label string) map[string]int64) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	return func(name metrics.Name, label string) map[string]int64 {
		t.Helper()
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		out := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				sum, ok := m.Data.(metricdata.Sum[int64])
				if !ok || m.Name != string(name) {
					continue
				}
				for _, p := range sum.DataPoints {
					if value, _ := p.Attributes.Value(attribute.Key(label)); p.Value > 0 {
						out[value.AsString()] += p.Value
					}
				}
			}
		}
		return out
	}
}

func TestRestore_CountsWhatCannotBegin(t *testing.T) {
	counted := counters(t)
	r := rigOn(t, &provider{})
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log)
	require.NoError(t, r.js.DeleteStream(t.Context(), natsq.StreamEvents))
	require.Error(t, restorer.Restore(t.Context(), []int{1, 2}))
	require.Equal(t, map[string]int64{"failed": 2}, counted(metrics.Rebuilds, "result"))
}

func TestHandover_IsCounted(t *testing.T) {
	counted := counters(t)
	r := rigOn(t, &provider{})
	offer, _ := r.offered()
	o := offer().Offer
	taken, _ := r.take(o, r.storeLimits())
	r.ended(taken.ID)
	o.Ticket -= int64(time.Minute)
	late, _ := r.take(o, r.storeLimits())
	r.ended(late.ID)
	require.Equal(t, map[string]int64{"taken": 1, "returned": 1}, counted(metrics.Handovers, "result"))
}

func TestRestore_IsCounted(t *testing.T) {
	counted := counters(t)
	r := rigOn(t, &provider{})
	stop := r.worker()
	for range 2 {
		r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	}
	r.flushed()
	stop()
	require.NoError(t, r.refiller().Check(t.Context()))
	r.loses(natsq.StreamEvents)
	require.NoError(t, r.refiller().Check(t.Context()))
	require.Equal(t, map[string]int64{"refilled": 2}, counted(metrics.Repairs, "kind"))

	brief := work.RestoreConfig{Settle: time.Millisecond}
	restore := func() {
		t.Helper()
		require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
		require.NoError(t, work.NewRestorer(r.store, natsq.NewHistory(r.js), brief, r.parts.Log).Restore(t.Context(), r.missing()))
	}
	restore()
	require.NoError(t, r.store.Withdraw(t.Context(), []int{0}))
	require.Error(t, work.NewRestorer(r.store, &breaking{stop: func() {}}, brief, r.parts.Log).Restore(t.Context(), []int{0}))
	r.loses(natsq.StreamOperations, natsq.StreamEvents)
	restore()
	require.Equal(t, map[string]int64{"rebuilt": operation.Shards, "new": operation.Shards}, counted(metrics.Generations, "cause"))
	require.Equal(t, map[string]int64{metrics.QueueOperations: 2 * operation.Shards}, counted(metrics.Generations, "queue"))
	require.Equal(t, map[string]int64{"done": operation.Shards, "failed": 1}, counted(metrics.Rebuilds, "result"))
}
