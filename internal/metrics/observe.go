package metrics

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observer shows one value of a gauge; for labels see Counter.Add. A name that was
// not given to Watch is not shown.
type Observer func(name Name, value float64, labels ...string)

// Watch makes gauges of the table; look is called at each reading, at most for a
// moment, and shows what there is. stop takes the gauges away. For one that cannot be made
// see Counter.
func (s Set) Watch(look func(show Observer), names ...Name) (stop func()) {
	gauges := make(map[Name]*gauge, len(names))
	all := make([]metric.Observable, 0, len(names))
	for _, name := range names {
		m, err := lookUp(name, Level)
		if err != nil {
			report(err)
			continue
		}
		made, err := s.meter.Float64ObservableGauge(string(name), metric.WithUnit(m.Unit), metric.WithDescription(m.About))
		report(err)
		gauges[name], all = &gauge{gauge: made, marks: marks{labels: m.Labels}}, append(all, made)
	}
	r, err := s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		look(func(name Name, value float64, labels ...string) {
			if g := gauges[name]; g != nil {
				o.ObserveFloat64(g.gauge, value, g.marks.of(labels).observe...)
			}
		})
		return nil
	}, all...)
	report(err)
	return func() {
		if r != nil {
			_ = r.Unregister()
		}
	}
}

type gauge struct {
	gauge metric.Float64ObservableGauge
	marks marks
}

// attribute is the label with a value. A status code is a number, as the
// conventions want it.
func (l Label) attribute(value string) attribute.KeyValue {
	if l.Key == code.Key {
		if n, err := strconv.Atoi(value); err == nil {
			return attribute.Int(l.Key, n)
		}
	}
	return attribute.String(l.Key, value)
}
