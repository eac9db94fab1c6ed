package metrics_test

import (
	"context"
	"flag"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const page = "../../docs/metrics.md"

func TestPage_IsUpToDate(t *testing.T) {
	t.Parallel()
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(metrics.Page()), 0o644))
	}
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, metrics.Page(), string(text), "docs/metrics.md is stale: run `make generate`")
	headings := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## .*$`).FindAllString(metrics.Page(), -1) {
		require.False(t, headings[heading], "%s is there twice: a metric stands apart from its group", heading)
		headings[heading] = true
	}
}

var (
	otelName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
	ucum     = regexp.MustCompile(`^(s|By|%|\{[a-z_]+\})$`)
)

func TestTable_HoldsToItsRules(t *testing.T) {
	t.Parallel()
	names, shown := map[metrics.Name]bool{}, map[string]bool{}
	for _, m := range metrics.All() {
		require.Regexp(t, otelName, string(m.Name))
		require.False(t, names[m.Name] || shown[m.Prometheus()], "%s is there twice", m.Name)
		names[m.Name], shown[m.Prometheus()] = true, true
		require.Regexp(t, ucum, m.Unit, m.Name)
		require.NotEmpty(t, m.In, m.Name)
		require.Regexp(t, `\.$`, m.About, m.Name)
		require.NotEmpty(t, m.Answers, m.Name)
		require.Equal(t, m.Kind == metrics.Spread && !m.Library, m.Buckets != nil, m.Name)
		require.True(t, slices.IsSorted(m.Buckets), m.Name)
		for _, l := range m.Labels {
			require.True(t, l.Values != nil || l.Set != "", "%s of %s has no set", l.Key, m.Name)
		}
	}
}

// series gives the values of a metric's points by the value of one label.
func series(t *testing.T, reader sdkmetric.Reader, name metrics.Name, label string) map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	out := map[string]float64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != string(name) {
				continue
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					v, _ := p.Attributes.Value(attribute.Key(label))
					out[v.AsString()] += float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					v, _ := p.Attributes.Value(attribute.Key(label))
					out[v.AsString()] += p.Value
				}
			}
		}
	}
	return out
}

func TestCounter_KeepsItsLabelsClosed(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	c := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))).Counter(metrics.Ended)
	for range 3 {
		c.Add(context.Background(), 1, "samsara", "success")
	}
	c.Add(context.Background(), 1, "a partner's text", "failed", "tsp")
	c.Add(context.Background(), 1, "another", "failed", "tsp")
	require.Equal(t, map[string]float64{"samsara": 3, metrics.Other: 2}, series(t, reader, metrics.Ended, "provider"))
	require.Equal(t, map[string]float64{"": 3, "tsp": 2}, series(t, reader, metrics.Ended, "error_type"), "an empty value is no label")
}

func TestUpDown_ComesDownAgain(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	active := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))).UpDown(metrics.HTTPServerActive)
	require.Empty(t, series(t, reader, metrics.HTTPServerActive, "http.request.method"))
	active.Add(2, "PATCH", "http")
	active.Add(1, "PATCH", "https")
	active.Add(1, "invented", "http")
	require.Equal(t, map[string]float64{"PATCH": 3, metrics.Other: 1}, series(t, reader, metrics.HTTPServerActive, "http.request.method"))
	active.Add(-2, "PATCH", "http")
	active.Add(-1, "another", "http")
	require.Equal(t, map[string]float64{"http": 0, "https": 1}, series(t, reader, metrics.HTTPServerActive, "url.scheme"))
}

func TestCounter_UnknownNamesCountNothing(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	set := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	set.Counter("invented").Add(t.Context(), 1)
	set.Counter(metrics.AttemptDuration).Add(t.Context(), 1)
	set.Histogram(metrics.Attempts).Record(t.Context(), 1)
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	require.Empty(t, data.ScopeMetrics)
}

func TestCounter_ShowsZeroFromTheStart(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	set := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	set.Counter(metrics.Repairs)
	set.Counter(metrics.Replays)
	set.Counter(metrics.Ended)
	require.Equal(t, map[string]float64{"expired_lease": 0, "healed": 0, "republished": 0, "refilled": 0}, series(t, reader, metrics.Repairs, "kind"))
	require.Equal(t, map[string]float64{"": 0}, series(t, reader, metrics.Replays, "none"))
	require.Empty(t, series(t, reader, metrics.Ended, "provider"), "too many")
}

func TestWatch_ShowsAndGoesAway(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	set := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	watch := func(queue string, value float64) func() {
		return set.Watch(func(show metrics.Observer) {
			show(metrics.DueLanes, value, queue)
			show(metrics.Lanes, 1, queue) // not asked for
		}, metrics.DueLanes)
	}
	first, second := watch(metrics.QueueOperations, 3), watch(metrics.QueueWebhooks, 4)
	require.Equal(t, map[string]float64{"operations": 3, "webhooks": 4}, series(t, reader, metrics.DueLanes, "queue"))
	require.Empty(t, series(t, reader, metrics.Lanes, "queue"))
	first()
	require.Equal(t, map[string]float64{"webhooks": 4}, series(t, reader, metrics.DueLanes, "queue"))
	second()
	require.Empty(t, series(t, reader, metrics.DueLanes, "queue"))
	set.Watch(func(show metrics.Observer) { show(metrics.Attempts, 1) }, metrics.Attempts)
	require.Empty(t, series(t, reader, metrics.Attempts, "provider"), "a counter is no gauge")
}

func BenchmarkCounter(b *testing.B) {
	reader := sdkmetric.NewManualReader()
	c := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))).Counter(metrics.Ended)
	b.ReportAllocs()
	for b.Loop() {
		c.Add(context.Background(), 1, "samsara", "failed", "tsp")
	}
}
