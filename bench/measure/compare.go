package measure

import (
	"context"
	"fmt"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// Core is what one round says of one system.
type Core struct {
	// AcceptRate is accepts per second with nobody consuming.
	AcceptRate float64 `json:"accept_rate,omitempty"`
	AcceptP50  float64 `json:"accept_p50_ms,omitempty"`
	AcceptP99  float64 `json:"accept_p99_ms,omitempty"`
	// EndRate is operations per second from the first request of a burst until all
	// have ended.
	EndRate float64 `json:"end_rate,omitempty"`
	// DrainRate is operations per second of a backlog, from the first call.
	DrainRate float64 `json:"drain_rate,omitempty"`
	// CPU is microseconds per operation from accept to end, by program.
	CPU map[string]float64 `json:"cpu_us,omitempty"`
	// ProviderP50 and ProviderP99 are the times from when a request was due to the
	// first call of the provider, in milliseconds.
	ProviderP50 float64 `json:"provider_p50_ms,omitempty"`
	ProviderP99 float64 `json:"provider_p99_ms,omitempty"`
	// Peak is the most memory that each program ever had resident, in bytes.
	Peak map[string]int64 `json:"peak_bytes,omitempty"`

	// Calls is the whole distribution of the times to the provider, and Ends are
	// the ends of the burst's operations from its first request, both for the plots.
	Calls []time.Duration `json:"-"`
	Ends  []time.Duration `json:"-"`
}

// Wanted says which rows to measure. Nil: all.
type Wanted map[string]bool

func (w Wanted) has(row string) bool { return w == nil || w[row] }

func (w Wanted) any(rows ...string) bool {
	for _, row := range rows {
		if w.has(row) {
			return true
		}
	}
	return false
}

// Compare measures the rows of the comparison, round after round.
func (b *Bench) Compare(ctx context.Context, want Wanted) ([]map[string]*Core, error) {
	var rounds []map[string]*Core
	for round := range b.Rounds {
		got := map[string]*Core{}
		err := b.both(ctx, round, rig.Options{}, func(s *rig.System, c *load.Client) error {
			core, err := b.core(ctx, want, s, c)
			got[s.Name] = core
			return err
		})
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, got)
	}
	return rounds, nil
}

func (b *Bench) core(ctx context.Context, want Wanted, s *rig.System, c *load.Client) (*Core, error) {
	core := &Core{}
	steps := []struct {
		row string
		do  func(context.Context, *rig.System, *load.Client, *Core) error
	}{{"e2e", b.burst}, {"latency", b.latency}, {"drain", b.backlog}}
	for _, step := range steps {
		if !want.has(step.row) && (step.row != "drain" || !want.has("accept")) && (step.row != "e2e" || !want.has("cpu")) {
			continue
		}
		if err := step.do(ctx, s, c, core); err != nil {
			return nil, fmt.Errorf("%s: %w", step.row, err)
		}
	}
	_, peak, err := s.Memory()
	core.Peak = peak
	b.logf("%-9s accept %.0f/s, end %.0f/s, drain %.0f/s, cpu %.0f us/op, provider p50 %.2f p99 %.2f ms",
		s.Name, core.AcceptRate, core.EndRate, core.DrainRate, own(core.CPU), core.ProviderP50, core.ProviderP99)
	return core, err
}

// burst measures accept to end, and what it costs.
func (b *Bench) burst(ctx context.Context, s *rig.System, c *load.Client, core *Core) error {
	before, err := b.used(s)
	if err != nil {
		return err
	}
	if err := b.push(ctx, s, c, core); err != nil {
		return err
	}
	core.CPU, err = b.cost(ctx, s, before, len(core.Ends))
	return err
}

// push sends many writes at once and waits until they have ended.
func (b *Bench) push(ctx context.Context, s *rig.System, c *load.Client, core *Core) error {
	n := b.pick(20_000, 5_000)
	if b.ProfileDir != "" {
		n = 20_000
	}
	if err := b.Rig.Provider.Set(provider.Settings{Room: n}); err != nil {
		return err
	}
	t := newTraffic(s, n)
	profiled := b.profile(ctx, s)
	r, err := t.closed(ctx, c)
	if err != nil {
		return err
	}
	end, err := t.ended(ctx, b.Rig, c)
	if err != nil {
		return err
	}
	if err := profiled(); err != nil {
		return err
	}
	core.EndRate = float64(n) / end.Sub(r.Began).Seconds()
	calls, err := b.Rig.Provider.Calls(0, n)
	for _, call := range calls {
		core.Ends = append(core.Ends, call.Ended.Sub(r.Began))
	}
	return err
}

// cost is what each of n operations has cost since before, when all have ended.
// What follows the end (events, confirmations) belongs to it; what an idle system
// uses while we wait for that does not, so it is measured and taken off.
func (b *Bench) cost(ctx context.Context, s *rig.System, before usage, n int) (map[string]float64, error) {
	ended := time.Now()
	if _, err := settle(ctx, s); err != nil {
		return nil, err
	}
	rest, err := b.used(s)
	if err != nil {
		return nil, err
	}
	waited := time.Since(ended)
	const look = 2 * time.Second
	if err := pause(ctx, look); err != nil {
		return nil, err
	}
	later, err := b.used(s)
	if err != nil {
		return nil, err
	}
	out, idle := rest.since(before, n), later.since(rest, n)
	for name := range out {
		out[name] -= idle[name] * float64(waited) / float64(look)
	}
	return out, nil
}

// latency measures the time from a request to the call of the provider.
func (b *Bench) latency(ctx context.Context, s *rig.System, c *load.Client, core *Core) error {
	const rate = 500
	n := b.pick(10, 5) * rate
	_, calls, err := b.timed(ctx, s, c, n, rate)
	if err != nil {
		return err
	}
	core.Calls = calls
	core.ProviderP50, core.ProviderP99 = at(calls, 0.5), at(calls, 0.99)
	return nil
}

// backlog measures accepts with nobody consuming, and then how fast what has
// gathered is worked off.
func (b *Bench) backlog(ctx context.Context, s *rig.System, c *load.Client, core *Core) error {
	n := b.pick(20_000, 5_000)
	if err := b.Rig.Provider.Set(provider.Settings{Room: n}); err != nil {
		return err
	}
	if err := s.StopWorkers(); err != nil {
		return err
	}
	t := newTraffic(s, n)
	r, err := t.closed(ctx, c)
	if err != nil {
		return err
	}
	core.AcceptRate = r.Rate()
	core.AcceptP50, core.AcceptP99 = quantile(r, 50), quantile(r, 99)
	if err := s.StartWorkers(ctx, 1); err != nil {
		return err
	}
	end, err := t.ended(ctx, b.Rig, c)
	if err != nil {
		return err
	}
	calls, err := b.Rig.Provider.Calls(0, n)
	if err != nil {
		return err
	}
	first := end
	for _, call := range calls {
		if call.First.Before(first) {
			first = call.First
		}
	}
	core.DrainRate = float64(n) / end.Sub(first).Seconds()
	return nil
}
