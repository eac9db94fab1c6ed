// Package metrics is the one table of everything that Writeback measures, and makes
// the instruments from it: names, units, labels and their values agree with
// docs/metrics.md because all of them come from here.
//
// It knows no part of the program and measures nothing by itself. Labels have closed
// sets of values: whatever is not in the set of its label is shown as Other, so that
// no input can make new series.
package metrics

import (
	"slices"
	"strings"
)

// Name is the OpenTelemetry name of a metric in the table.
type Name string

// Kind is the kind of instrument.
type Kind string

// The kinds.
const (
	// Count only grows.
	Count Kind = "counter"
	// Level is a value at the time of reading.
	Level Kind = "gauge"
	// UpDown is a sum that grows and shrinks.
	UpDown Kind = "up-down counter"
	// Spread is a histogram.
	Spread Kind = "histogram"
)

// Other stands for a label value that is not in its set.
const Other = "_OTHER"

// Label is a label with its closed set of values.
type Label struct {
	// Key is the OpenTelemetry attribute.
	Key string
	// Values are the set. Nil: Set says what it is, and the code that records has
	// it from there.
	Values []string
	Set    string
	// Elsewhere is where the set is written down, shown instead of it.
	Elsewhere string
}

// Allows reports whether the value is in the set, or the set is not known here.
func (l Label) Allows(value string) bool {
	return l.Values == nil || value == Other || slices.Contains(l.Values, value)
}

// Program is one of those that may show a metric.
type Program string

// The programs.
const (
	API    Program = "api"
	Worker Program = "worker"
	Both   Program = "api, worker"
)

// Metric is one line of the table.
type Metric struct {
	Name Name
	Kind Kind
	// Unit is in UCUM form.
	Unit   string
	Labels []Label
	// In says which programs show it.
	In Program
	// About says what it is, Answers the question that one looks at it for.
	About, Answers string
	// Buckets are the bounds of a histogram.
	Buckets []float64
	// Standard: it is made by a library, or follows OpenTelemetry's conventions.
	Standard bool
	// Library: it is made by a library and not from this table.
	Library bool
	// Rare: it may be absent for long, until what it tells of happens.
	Rare bool
	// Sampled: each worker reads the same value from the store, so one takes the
	// maximum over workers and never the sum.
	Sampled bool
}

// Prometheus gives the name that a scrape shows; a histogram's series add _bucket,
// _sum and _count to it.
func (m Metric) Prometheus() string {
	name := strings.NewReplacer(".", "_", "-", "_").Replace(string(m.Name))
	if suffix := suffixes[m.Unit]; suffix != "" && !strings.HasSuffix(name, suffix) {
		name += suffix
	}
	if m.Kind == Count {
		name += "_total"
	}
	return name
}

// suffixes of the units, as the Prometheus exporter adds them. Units in braces add
// nothing.
var suffixes = map[string]string{"s": "_seconds", "By": "_bytes", "%": "_percent"}

// PrometheusLabel gives the name that a scrape shows.
func (l Label) PrometheusLabel() string { return strings.ReplaceAll(l.Key, ".", "_") }

// All gives the table, in the order of docs/metrics.md.
func All() []Metric { return slices.Clone(table) }

// Find gives a metric of the table.
func Find(name Name) (Metric, bool) {
	i := slices.IndexFunc(table, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return table[i], true
}
