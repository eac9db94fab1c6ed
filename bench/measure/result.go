package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Result is everything that was measured. What was not is nil.
type Result struct {
	Rounds   []map[string]*Core `json:"rounds,omitempty"`
	Durable  []map[string]*Core `json:"durable,omitempty"`
	Slow     []map[string]*Core `json:"slow_provider,omitempty"`
	Open     map[string]*Open   `json:"open,omitempty"`
	Rates    map[string][]Rate  `json:"rates,omitempty"`
	Memory   *Footprint         `json:"memory,omitempty"`
	Batch    *Batch             `json:"batch,omitempty"`
	Fairness []Fair             `json:"fairness,omitempty"`
	Waiting  *Waiting           `json:"waiting,omitempty"`
	Workers  map[int]float64    `json:"workers,omitempty"`
	Retained *Retained          `json:"retained,omitempty"`
	// Peak is the most memory that each of Writeback's programs had in any of these,
	// in bytes.
	Peak map[string]int64 `json:"peak_bytes,omitempty"`
}

// Rows are the names of what can be measured, in order.
var Rows = []string{"accept", "e2e", "drain", "cpu", "latency", "durable", "slow", "open", "rates", "memory", "batch", "fairness", "waiting", "workers", "retained"}

// Run measures what is wanted. A row that fails does not keep the others from being
// measured; its error is given with what there is.
func (b *Bench) Run(ctx context.Context, want Wanted) (*Result, error) {
	out := &Result{Peak: b.peaks}
	steps := []struct {
		rows []string
		do   func() error
	}{
		{[]string{"accept", "e2e", "drain", "cpu", "latency"}, func() (err error) { out.Rounds, err = b.Compare(ctx, want); return }},
		{[]string{"durable"}, func() (err error) { out.Durable, err = b.Durable(ctx); return }},
		{[]string{"slow"}, func() (err error) { out.Slow, err = b.Slow(ctx); return }},
		{[]string{"open"}, func() (err error) { out.Open, err = b.OpenLoad(ctx); return }},
		{[]string{"rates"}, func() (err error) { out.Rates, err = b.Rates(ctx); return }},
		{[]string{"memory"}, func() (err error) { out.Memory, err = b.Memory(ctx); return }},
		{[]string{"batch"}, func() (err error) { out.Batch, err = b.Batches(ctx); return }},
		{[]string{"fairness"}, func() (err error) { out.Fairness, err = b.Fairness(ctx); return }},
		{[]string{"waiting"}, func() (err error) { out.Waiting, err = b.Waits(ctx); return }},
		{[]string{"workers"}, func() (err error) { out.Workers, err = b.Workers(ctx); return }},
		{[]string{"retained"}, func() (err error) { out.Retained, err = b.Many(ctx); return }},
	}
	var errs []error
	for _, step := range steps {
		if !want.any(step.rows...) || want == nil && b.Quick && step.rows[0] == "rates" {
			continue // the quick run has a rate in the row latency
		}
		b.logf("%s ...", strings.Join(step.rows, ", "))
		if err := step.do(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.rows[0], err))
			b.logf("%v", errs[len(errs)-1])
		}
		if ctx.Err() != nil {
			break
		}
	}
	return out, errors.Join(errs...)
}

// Spread is the median of the rounds with the least and the greatest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	mid := len(values) / 2
	median := values[mid]
	if len(values)%2 == 0 {
		median = (values[mid-1] + values[mid]) / 2
	}
	return Spread{Median: median, Min: values[0], Max: values[len(values)-1]}
}

// figures of a core that are compared.
var figures = []struct {
	Name, Key, Unit string
	Of              func(*Core) float64
}{
	{"accept", "accept_ratio", "/s", func(c *Core) float64 { return c.AcceptRate }},
	{"accept to end", "end_to_end_ratio", "/s", endRate},
	{"drain", "drain_ratio", "/s", func(c *Core) float64 { return c.DrainRate }},
	{"cpu", "cpu_ratio", "us", func(c *Core) float64 { return own(c.CPU) }},
	{"provider p50", "provider_p50_ratio", "ms", func(c *Core) float64 { return c.ProviderP50 }},
	{"provider p99", "provider_p99_ratio", "ms", func(c *Core) float64 { return c.ProviderP99 }},
}

// of collects a figure of one system over the rounds.
func of(rounds []map[string]*Core, system string, f func(*Core) float64) Spread {
	var out []float64
	for _, round := range rounds {
		if v := f(round[system]); v > 0 {
			out = append(out, v)
		}
	}
	return spreadOf(out)
}

// ratio collects Writeback ÷ asynq within the rounds.
func ratio(rounds []map[string]*Core, f func(*Core) float64) Spread {
	var out []float64
	for _, round := range rounds {
		if a := f(round[asynq]); a > 0 && f(round[writeback]) > 0 {
			out = append(out, f(round[writeback])/a)
		}
	}
	return spreadOf(out)
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
