package measure

import "fmt"

// Row is one line of the comparison.
type Row struct {
	Name, Unit string
	// Writeback and Asynq are the medians; Asynq is zero where there is no
	// comparison.
	Writeback, Asynq float64
	// Value is what the floor and the goal are about: the ratio within the rounds, or
	// the figure itself.
	Value Spread
	// Floor must be met, Goal should be. Less says that a smaller value is better.
	Floor, Goal float64
	Less        bool
}

// Meets reports whether a bound is met.
func (r Row) Meets(bound float64) bool {
	if r.Less {
		return r.Value.Median <= bound
	}
	return r.Value.Median >= bound
}

// Verdict says which of the bounds is met.
func (r Row) Verdict() string {
	switch {
	case r.Meets(r.Goal):
		return "goal"
	case r.Meets(r.Floor):
		return "floor"
	default:
		return "**below the floor**"
	}
}

// Bound writes a bound as text.
func (r Row) Bound(v float64) string {
	sign := "≥"
	if r.Less {
		sign = "≤"
	}
	return fmt.Sprintf("%s %g", sign, v)
}

// bounds of the comparison by key: floor and goal.
var bounds = map[string]struct {
	name        string
	floor, goal float64
	less        bool
}{
	"accept_ratio":       {"accept, nobody consuming", 0.8, 1, false},
	"end_to_end_ratio":   {"accept to end, one burst", 1.6, 3, false},
	"drain_ratio":        {"drain of a backlog", 2, 4, false},
	"cpu_ratio":          {"CPU per operation", 0.65, 0.4, true},
	"provider_p50_ratio": {"request → provider called, 500/s, p50", 0.7, 0.7, true},
	"provider_p99_ratio": {"request → provider called, 500/s, p99", 1, 0.5, true},
}

// Table gives the rows that were measured, in the order of the document.
func (r *Result) Table() []Row {
	var out []Row
	add := func(row Row) {
		if row.Value.Median > 0 {
			out = append(out, row)
		}
	}
	for _, f := range figures {
		b := bounds[f.Key]
		add(Row{
			Name: b.name, Unit: f.Unit, Writeback: of(r.Rounds, writeback, f.Of).Median, Asynq: of(r.Rounds, asynq, f.Of).Median,
			Value: ratio(r.Rounds, f.Of), Floor: b.floor, Goal: b.goal, Less: b.less,
		})
	}
	add(Row{
		Name: "accept to end, Redis with `appendfsync always`", Unit: "/s", Writeback: of(r.Durable, writeback, endRate).Median,
		Asynq: of(r.Durable, asynq, endRate).Median, Value: ratio(r.Durable, endRate), Floor: 2.5, Goal: 4,
	})
	if r.Batch != nil && r.Batch.Missing == "" {
		add(Row{
			Name: "updates accepted in batches of 1,000 ÷ single requests", Unit: "/s", Writeback: r.Batch.UpdateRate,
			Value: one(r.Batch.UpdateRate / r.Batch.SingleRate), Floor: 2.5, Goal: 6,
		})
	}
	keys := r.Keys()
	if v := keys["redis_bytes_per_operation"]; v > 0 {
		add(Row{Name: "Redis memory per ended operation", Unit: "B", Writeback: v, Value: one(v), Floor: 600, Goal: 450, Less: true})
	}
	return out
}

func one(v float64) Spread { return Spread{Median: v, Min: v, Max: v} }

// SlowRow is the comparison against a provider that takes 50 ms.
func (r *Result) SlowRow() *Row {
	if len(r.Slow) == 0 {
		return nil
	}
	return &Row{
		Unit: "/s", Writeback: of(r.Slow, writeback, endRate).Median, Asynq: of(r.Slow, asynq, endRate).Median, Value: ratio(r.Slow, endRate),
	}
}

// Programs gives the medians of the CPU time by program, of one system.
func (r *Result) Programs(system string) map[string]float64 {
	out := map[string]float64{}
	if len(r.Rounds) == 0 {
		return out
	}
	for name := range r.Rounds[0][system].CPU {
		out[name] = of(r.Rounds, system, func(c *Core) float64 { return c.CPU[name] }).Median
	}
	return out
}
