package measure

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Result is everything that was measured. What was not is nil.
type Result struct {
	Rounds []map[string]*Core `json:"rounds,omitempty"`
	Memory *Footprint         `json:"memory,omitempty"`
}

// Run measures what is wanted.
func (b *Bench) Run(ctx context.Context, want Wanted) (*Result, error) {
	out := &Result{}
	var err error
	if want.any("accept", "e2e", "drain", "cpu", "latency") {
		if out.Rounds, err = b.Compare(ctx, want); err != nil {
			return nil, err
		}
	}
	if want.has("memory") {
		if out.Memory, err = b.Memory(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
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
	Name, Unit string
	Of         func(*Core) float64
}{
	{"accept", "/s", func(c *Core) float64 { return c.AcceptRate }},
	{"end_to_end", "/s", func(c *Core) float64 { return c.EndRate }},
	{"drain", "/s", func(c *Core) float64 { return c.DrainRate }},
	{"cpu", "us", func(c *Core) float64 { return own(c.CPU) }},
	{"provider_p50", "ms", func(c *Core) float64 { return c.ProviderP50 }},
	{"provider_p99", "ms", func(c *Core) float64 { return c.ProviderP99 }},
}

// of collects a figure of one system over the rounds.
func (r *Result) of(system string, f func(*Core) float64) Spread {
	var out []float64
	for _, round := range r.Rounds {
		if v := f(round[system]); v > 0 {
			out = append(out, v)
		}
	}
	return spreadOf(out)
}

// ratio collects Writeback ÷ asynq within the rounds.
func (r *Result) ratio(f func(*Core) float64) Spread {
	var out []float64
	for _, round := range r.Rounds {
		if a := f(round[asynq]); a > 0 {
			out = append(out, f(round[writeback])/a)
		}
	}
	return spreadOf(out)
}

// Print writes a table for people.
func (r *Result) Print(w io.Writer) {
	if len(r.Rounds) > 0 {
		fmt.Fprintf(w, "%-14s %12s %12s   %s\n", "", writeback, asynq, "ratio (least to greatest of the rounds)")
		for _, f := range figures {
			a, b, ratio := r.of(writeback, f.Of), r.of(asynq, f.Of), r.ratio(f.Of)
			if a.Median > 0 {
				fmt.Fprintf(w, "%-14s %10.2f%-2s %10.2f%-2s   %.2f (%.2f to %.2f)\n", f.Name, a.Median, f.Unit, b.Median, f.Unit, ratio.Median, ratio.Min, ratio.Max)
			}
		}
		for _, system := range []string{writeback, asynq} {
			last := r.Rounds[len(r.Rounds)-1][system]
			fmt.Fprintf(w, "%s: cpu us/op", system)
			for _, name := range sorted(last.CPU) {
				fmt.Fprintf(w, " %s %.0f", name, last.CPU[name])
			}
			fmt.Fprint(w, "; peak MiB")
			for _, name := range sorted(last.Peak) {
				fmt.Fprintf(w, " %s %d", name, last.Peak[name]>>20)
			}
			fmt.Fprintln(w)
		}
	}
	if r.Memory != nil {
		fmt.Fprintf(w, "redis bytes per ended operation: %.0f (of %d)\n", r.Memory.Bytes, r.Memory.Operations)
	}
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
