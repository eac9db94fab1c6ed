package measure

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// timed sends n writes at a rate and gives the answers, and the sorted times from
// when each was due to the provider's first call.
func (b *Bench) timed(ctx context.Context, s *rig.System, c *load.Client, n int, rate float64) (load.Result, []time.Duration, error) {
	if err := b.Rig.Provider.Set(provider.Settings{Room: n}); err != nil {
		return load.Result{}, nil, err
	}
	t := newTraffic(s, n)
	r, err := t.open(ctx, c, rate)
	if err != nil {
		return r, nil, err
	}
	if _, err := t.ended(ctx, b.Rig, c); err != nil {
		return r, nil, err
	}
	calls, err := b.Rig.Provider.Calls(0, n)
	if err != nil {
		return r, nil, err
	}
	out, err := delays(calls, r.Due)
	return r, out, err
}

// delays gives the sorted times from due to first call.
func delays(calls []provider.Times, due []time.Time) ([]time.Duration, error) {
	out := make([]time.Duration, len(due))
	for i := range due {
		if calls[i].First.IsZero() {
			return nil, fmt.Errorf("write %d never reached the provider", i)
		}
		out[i] = calls[i].First.Sub(due[i])
	}
	slices.Sort(out)
	return out, nil
}

// at is a quantile of sorted times, in milliseconds.
func at(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)].Microseconds()) / 1000
}
