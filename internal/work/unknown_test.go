package work_test

import (
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"writeback/internal/directory"
	"writeback/internal/metrics"
	"writeback/pkg/operation"
)

// recordSpans keeps the spans of the test, which may not be parallel: OpenTelemetry has one
// tracer provider per process.
func recordSpans(t *testing.T) *tracetest.SpanRecorder {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	return spans
}

// named gives the spans of a name that have ended.
func named(spans *tracetest.SpanRecorder, name string) []sdktrace.ReadOnlySpan {
	return slices.DeleteFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() != name })
}

// lostDirectory is a directory that has lost its connections, until it has them back.
type lostDirectory struct {
	connections
	asked atomic.Int32
	back  atomic.Bool
}

func (f *lostDirectory) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	if !f.back.Load() {
		f.asked.Add(1)
		return directory.Connection{}, false
	}
	return f.connections.ConnectionByID(id)
}

// behindDirectory says of every connection that it has failed, a minute ago, until it hears
// that it is active again.
type behindDirectory struct {
	connections
	asked atomic.Int32
	heard atomic.Bool
}

func (b *behindDirectory) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c, ok := b.connections.ConnectionByID(id)
	if !b.heard.Load() {
		b.asked.Add(1)
		c.Status, c.UpdatedAt = directory.ConnectionFailed, time.Now().Add(-time.Minute)
	}
	return c, ok
}

// TestStaleStatus_EndsNothingThatWasJustAccepted: whoever accepted it had heard more.
func TestStaleStatus_EndsNothingThatWasJustAccepted(t *testing.T) {
	t.Parallel()
	for _, heard := range []bool{true, false} {
		t.Run(strconv.FormatBool(heard), func(t *testing.T) {
			t.Parallel()
			p := &provider{}
			r := rigOn(t, p)
			if heard {
				r.cfg.Hears = time.Minute // on a machine that is busy, too
			}
			dir := &behindDirectory{}
			r.parts.Directory = dir
			op := r.accept(r.change(uuid.New(), "x"))
			r.worker()
			require.Eventually(t, func() bool { return dir.asked.Load() > 1 }, 20*time.Second, time.Millisecond)
			dir.heard.Store(heard)
			ended := r.ended(op.ID)
			require.Len(t, ended.Attempts, 1)
			if heard {
				require.Equal(t, operation.Succeeded, ended.Status)
				return
			}
			require.Equal(t, operation.Failed, ended.Status, "nobody says that it is active again")
			require.Equal(t, operation.ErrorAuth, ended.Attempts[0].ErrorType)
			require.Empty(t, p.received())
		})
	}
}

// lockedDirectory cannot open the credentials of its connections, until it has the key.
type lockedDirectory struct {
	connections
	asked atomic.Int32
	open  atomic.Bool
}

func (l *lockedDirectory) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c, ok := l.connections.ConnectionByID(id)
	if c.Locked = !l.open.Load(); c.Locked {
		l.asked.Add(1)
	}
	return c, ok
}

// TestLockedConnection_WaitsUntilItIsOpened: that a key is missing is our fault, and ends nothing.
func TestLockedConnection_WaitsUntilItIsOpened(t *testing.T) {
	t.Parallel()
	p := &provider{}
	r := rigOn(t, p)
	dir := &lockedDirectory{}
	r.parts.Directory = dir
	a := r.change(uuid.New(), "x")
	a.MaxAttempts = 1
	op := r.accept(a)
	r.worker()
	require.Eventually(t, func() bool { return dir.asked.Load() > 3 }, 20*time.Second, 5*time.Millisecond)
	require.Empty(t, p.received())
	require.Zero(t, r.rows(op.ID))
	dir.open.Store(true)
	require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
}

// A connection that a worker does not know is no reason to end what was accepted for it: it
// is new, or the directory was lost. The first attempt is the one that is made. Not parallel:
// OpenTelemetry has one meter provider per process.
func TestUnknownConnection_WaitsUntilItIsKnown(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	spans := recordSpans(t)
	r := rigOn(t, &provider{})
	dir := &lostDirectory{}
	r.parts.Directory = dir
	op := r.accept(r.change(uuid.New(), "x"))
	r.worker()
	require.Eventually(t, func() bool { return dir.asked.Load() > 3 }, 20*time.Second, 5*time.Millisecond)
	held, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, held.Status)
	require.Empty(t, held.Attempts)
	require.Empty(t, r.provider.received())
	dir.back.Store(true)
	ended := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, ended.Status)
	require.Len(t, ended.Attempts, 1, "and the waiting cost it nothing")

	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	var firsts uint64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == string(metrics.FirstAttemptDelay) {
				for _, p := range data.DataPoints {
					firsts += p.Count
				}
			}
		}
	}
	require.EqualValues(t, 1, firsts)
	require.Eventually(t, func() bool { return len(named(spans, "operation attempt")) > 0 }, 20*time.Second, 5*time.Millisecond)
	require.Len(t, named(spans, "operation attempt"), 1, "each has the ids of the first attempt")
}
