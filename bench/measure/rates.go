package measure

import (
	"context"
	"time"

	"writeback/bench/load"
	"writeback/bench/rig"
)

// Rate is what operations cost that come at a steady rate, and how long they take.
type Rate struct {
	Rate float64 `json:"rate"`
	// CPU is the system's own microseconds per operation, and Cores how many cores all
	// together used, load and provider included.
	CPU   float64 `json:"cpu_us"`
	Cores float64 `json:"cores"`
	// The answers, and the first calls of the provider, from when a request was due.
	AnswerP50 float64 `json:"answer_p50_ms"`
	AnswerP99 float64 `json:"answer_p99_ms"`
	CallP50   float64 `json:"provider_p50_ms"`
	CallP99   float64 `json:"provider_p99_ms"`
}

// Rates measures each system under open loads that leave cores idle between operations.
func (b *Bench) Rates(ctx context.Context) (map[string][]Rate, error) {
	const seconds = 4
	rates := []float64{100, 250, 500, 1000}
	if b.Quick {
		rates = []float64{100, 500}
	}
	out := map[string][]Rate{}
	err := b.both(ctx, 0, rig.Options{}, func(s *rig.System, c *load.Client) error {
		for _, rate := range rates {
			n := int(rate * seconds)
			before, err := b.used(s)
			if err != nil {
				return err
			}
			began := time.Now()
			answers, calls, err := b.timed(ctx, s, c, n, rate)
			if err != nil {
				return err
			}
			after, err := b.used(s)
			if err != nil {
				return err
			}
			took, per, all := time.Since(began), after.since(before, n), 0.0
			for _, us := range per {
				all += us
			}
			out[s.Name] = append(out[s.Name], Rate{
				Rate: rate, CPU: own(per), Cores: all * float64(n) / float64(took.Microseconds()),
				AnswerP50: quantile(answers, 50), AnswerP99: quantile(answers, 99), CallP50: at(calls, 0.5), CallP99: at(calls, 0.99),
			})
			b.logf("%-9s %+v", s.Name, out[s.Name][len(out[s.Name])-1])
		}
		return nil
	})
	return out, err
}
