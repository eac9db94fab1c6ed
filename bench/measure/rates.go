package measure

import (
	"context"
	"time"

	"writeback/bench/load"
	"writeback/bench/rig"
)

// Rate is what operations cost that come at a steady rate, and how long they take.
type Rate struct {
	Open
	// CPU is the system's own microseconds per operation, and Cores how many cores all
	// together used, load and provider included.
	CPU   float64 `json:"cpu_us"`
	Cores float64 `json:"cores"`
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
			r := Rate{Open: opened(rate, answers, calls), CPU: own(per), Cores: all * float64(n) / float64(took.Microseconds())}
			out[s.Name] = append(out[s.Name], r)
			b.logf("%-9s at %.0f/s: cpu %.0f us/op, %.2f cores, answer p50 %.2f p99 %.2f ms, provider p50 %.2f p99 %.2f ms",
				s.Name, rate, r.CPU, r.Cores, r.AnswerP50, r.AnswerP99, r.CallP50, r.CallP99)
		}
		return nil
	})
	return out, err
}
