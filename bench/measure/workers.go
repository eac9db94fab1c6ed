package measure

import (
	"context"
	"slices"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// workerSlots keeps four workers below what two cores can do: what is measured is
// whether workers get in each other's way.
const workerSlots = 2

// Workers gives the rate at which 1, 2 and 4 workers work off a backlog against a
// provider that takes 20 ms.
func (b *Bench) Workers(ctx context.Context) (map[int]float64, error) {
	out := map[int]float64{}
	err := b.with(ctx, writeback, rig.Options{Slots: workerSlots}, func(s *rig.System, c *load.Client) error {
		for _, workers := range []int{1, 2, 4} {
			n := workers * b.pick(1_200, 300)
			if err := b.Rig.Provider.Set(provider.Settings{Room: n, Latency: 20 * time.Millisecond}); err != nil {
				return err
			}
			if err := s.StopWorkers(); err != nil {
				return err
			}
			t := newTraffic(s, n)
			if _, err := t.closed(ctx, c); err != nil {
				return err
			}
			if err := s.StartWorkers(ctx, workers); err != nil {
				return err
			}
			if _, err := t.ended(ctx, b.Rig, c); err != nil {
				return err
			}
			calls, err := b.Rig.Provider.Calls(0, n)
			if err != nil {
				return err
			}
			out[workers] = steady(calls)
			b.logf("%d workers: %.0f/s", workers, out[workers])
		}
		return nil
	})
	return out, err
}

// steady is the rate of ends without the first and the last tenth, in which not all
// workers are there or not all have work.
func steady(calls []provider.Times) float64 {
	ends := make([]time.Time, len(calls))
	for i, c := range calls {
		ends[i] = c.Ended
	}
	slices.SortFunc(ends, time.Time.Compare)
	from, to := len(ends)/10, len(ends)*9/10
	return float64(to-from) / ends[to].Sub(ends[from]).Seconds()
}
