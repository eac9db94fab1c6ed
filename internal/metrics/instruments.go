package metrics

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// mostLabels bounds the labels of one metric.
const mostLabels = 5

// values are those of a metric's labels, in the table's order.
type values [mostLabels]string

// Set makes the instruments of the table. Safe for concurrent use.
type Set struct{ meter metric.Meter }

// New makes instruments of the provider; nil is OpenTelemetry's global one.
func New(provider metric.MeterProvider) Set {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	return Set{provider.Meter("writeback")}
}

// Counter makes a counter of the table. One that cannot be made counts nothing,
// and OpenTelemetry's error handler hears of it: that is no reason to stop.
func (s Set) Counter(name Name) *Counter {
	m, err := lookUp(name, Count)
	c, made := metric.Int64Counter(noop.Int64Counter{}), error(nil)
	if err == nil {
		c, made = s.meter.Int64Counter(string(name), metric.WithUnit(m.Unit), metric.WithDescription(m.About))
	}
	report(err, made)
	out := &Counter{counter: c, marks: marks{labels: m.Labels}}
	out.zero()
	return out
}

// mostZeros bounds the series of a counter that are shown before they happen.
const mostZeros = 48

// zero shows what has not happened yet as 0: a series that begins with 1 has no
// increase, and so would not be alerted on.
func (c *Counter) zero() {
	all := [][]string{nil}
	for _, l := range c.marks.labels {
		var more [][]string
		for _, labels := range all {
			for _, value := range l.Values {
				more = append(more, append(slices.Clone(labels), value))
			}
		}
		all = more
	}
	if len(all) > mostZeros {
		return
	}
	for _, labels := range all {
		c.Add(context.Background(), 0, labels...)
	}
}

// UpDown makes an up-down counter of the table; see Counter. It is counted here and
// shown at each reading: what goes up comes down again at once, and nobody looks.
func (s Set) UpDown(name Name) *Sum {
	m, err := lookUp(name, UpDown)
	sum, made := &Sum{marks: marks{labels: m.Labels}}, error(nil)
	if err == nil {
		_, made = s.meter.Int64ObservableUpDownCounter(string(name), metric.WithUnit(m.Unit), metric.WithDescription(m.About),
			metric.WithInt64Callback(sum.show))
	}
	report(err, made)
	return sum
}

// Histogram makes a histogram of the table; see Counter.
func (s Set) Histogram(name Name) *Histogram {
	m, err := lookUp(name, Spread)
	h, made := metric.Float64Histogram(noop.Float64Histogram{}), error(nil)
	if err == nil {
		h, made = s.meter.Float64Histogram(string(name), metric.WithUnit(m.Unit), metric.WithDescription(m.About),
			metric.WithExplicitBucketBoundaries(m.Buckets...))
	}
	report(err, made)
	return &Histogram{histogram: h, marks: marks{labels: m.Labels}}
}

func lookUp(name Name, kind Kind) (Metric, error) {
	m, ok := Find(name)
	if !ok || m.Kind != kind || m.Library {
		return Metric{}, fmt.Errorf("metrics: %q is no %s of the table", name, kind)
	}
	return m, nil
}

func report(errs ...error) {
	for _, err := range errs {
		if err != nil {
			otel.Handle(err)
		}
	}
}

// Counter counts. Safe for concurrent use.
type Counter struct {
	counter metric.Int64Counter
	marks   marks
}

// Add counts n under the values of the metric's labels, in the table's order. An
// empty or absent value leaves its label out.
func (c *Counter) Add(ctx context.Context, n int, labels ...string) {
	c.counter.Add(ctx, int64(n), c.marks.of(labels).add...)
}

// Sum is what goes up and down. Safe for concurrent use.
type Sum struct{ marks marks }

// Add adds n, which may be negative; for labels see Counter.Add.
func (s *Sum) Add(n int, labels ...string) { s.marks.of(labels).sum.Add(int64(n)) }

func (s *Sum) show(_ context.Context, o metric.Int64Observer) error {
	s.marks.mu.RLock()
	defer s.marks.mu.RUnlock()
	for _, m := range s.marks.known {
		o.Observe(m.sum.Load(), m.observe...)
	}
	return nil
}

// Histogram takes values. Safe for concurrent use.
type Histogram struct {
	histogram metric.Float64Histogram
	marks     marks
}

// Record takes a value in the metric's unit; for labels see Counter.Add. A context
// with a sampled span makes it an exemplar.
func (h *Histogram) Record(ctx context.Context, value float64, labels ...string) {
	h.histogram.Record(ctx, value, h.marks.of(labels).record...)
}

// mark is one combination of label values, ready for each kind of call.
type mark struct {
	add     []metric.AddOption
	record  []metric.RecordOption
	observe []metric.ObserveOption
	// sum is what a Sum has come to.
	sum atomic.Int64
}

// marks remembers the combinations that occur: their sets are closed, and making
// one costs more than the measurement.
type marks struct {
	labels []Label
	mu     sync.RWMutex
	known  map[values]*mark
}

func (m *marks) of(given []string) *mark {
	var key values
	copy(key[:], given)
	m.mu.RLock()
	found := m.known[key]
	m.mu.RUnlock()
	if found != nil {
		return found
	}
	return m.learn(key)
}

func (m *marks) learn(key values) *mark {
	attrs := make([]attribute.KeyValue, 0, len(m.labels))
	for i, l := range m.labels {
		switch value := key[i]; {
		case value == "":
		case !l.Allows(value):
			attrs, key[i] = append(attrs, attribute.String(l.Key, Other)), Other
		default:
			attrs = append(attrs, l.attribute(value))
		}
	}
	option := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made := &mark{add: []metric.AddOption{option}, record: []metric.RecordOption{option}, observe: []metric.ObserveOption{option}}
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.known[key]; found != nil {
		return found
	}
	if m.known == nil {
		m.known = make(map[values]*mark)
	}
	m.known[key] = made
	return made
}
