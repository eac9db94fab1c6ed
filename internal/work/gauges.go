package work

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"writeback/internal/metrics"
	"writeback/pkg/operation/redisstore"
)

const (
	// sampleEvery is how often a worker looks how full the store is.
	sampleEvery = 5 * time.Second
	// sampleLanes bounds the lanes that are read of one shard, 1,024 in all.
	sampleLanes = 16
	// sampleFor is how long a sample is shown. An old one is worse than none.
	sampleFor = 3 * sampleEvery
)

// sample is what was last found in the store.
type sample struct {
	redisstore.Depth
	at time.Time
}

// gauges shows what a worker sees of the store and of itself.
type gauges struct{ last atomic.Pointer[sample] }

// current gives the last sample, unless it is too old.
func (g *gauges) current() (sample, bool) {
	if s := g.last.Load(); s != nil && time.Since(s.at) < sampleFor {
		return *s, true
	}
	return sample{}, false
}

// gaugeLoop samples the store until ctx ends. While the store is away the gauges
// about it disappear, and nothing waits for them.
func (w *Worker) gaugeLoop(ctx context.Context) error {
	g := &gauges{}
	defer w.observe(g)()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		w.sampleOnce(ctx, g)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Worker) sampleOnce(ctx context.Context, g *gauges) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	shards, err := w.parts.Store.Shards(ctx, sampleLanes)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			w.parts.Log.DebugContext(ctx, "sampling the store", "error", err)
		}
		return
	}
	g.last.Store(&sample{Depth: redisstore.DepthOf(shards), at: time.Now()})
}

// gauge is one value of a sample.
type gauge struct {
	name  metrics.Name
	value func(sample) float64
}

var storeGauges = []gauge{
	{metrics.DueLanes, func(s sample) float64 { return float64(s.LanesDue) }},
	{metrics.DueAge, func(s sample) float64 { return s.DueAge.Seconds() }},
	{metrics.OutboxDepth, func(s sample) float64 { return float64(s.Outbox) }},
	{metrics.OutboxAge, func(s sample) float64 { return s.OutboxAge.Seconds() }},
	{metrics.BeatAge, func(s sample) float64 { return s.Beat.Seconds() }},
	{metrics.OldestAge, func(s sample) float64 { return s.Oldest.Seconds() }},
	{metrics.Lanes, func(s sample) float64 { return float64(s.Lanes) }},
	{metrics.LanesRead, func(s sample) float64 { return float64(s.Read) }},
	{metrics.LanesBlocked, func(s sample) float64 { return float64(s.Blocked) }},
	{metrics.LanesOpen, func(s sample) float64 { return float64(s.Open) }},
	{metrics.LanesPaused, func(s sample) float64 { return float64(s.Paused) }},
	{metrics.ShardsMissing, func(s sample) float64 { return float64(s.Missing) }},
	{metrics.ShardsRebuilding, func(s sample) float64 { return float64(s.Rebuilding) }},
	{metrics.ShardsUnfinished, func(s sample) float64 { return float64(s.Unfinished) }},
}

// observe registers the gauges; stop takes them away.
func (w *Worker) observe(g *gauges) (stop func()) {
	names := []metrics.Name{metrics.Slots, metrics.SlotsFree, metrics.Pending}
	for _, one := range storeGauges {
		names = append(names, one.name)
	}
	queue := w.metrics.queue
	if queue != metrics.QueueWebhooks {
		names = append(names, metrics.LimitRemaining, metrics.LimitWait, metrics.BreakerOpen)
	}
	return metrics.New(nil).Watch(func(show metrics.Observer) {
		show(metrics.SlotsFree, float64(w.Free()), queue)
		show(metrics.Slots, float64(w.cfg.Concurrency), queue)
		s, ok := g.current()
		if !ok {
			return
		}
		for _, one := range storeGauges {
			show(one.name, one.value(s), queue)
		}
		for state, n := range s.states() {
			show(metrics.Pending, float64(n), queue, state)
		}
		if queue != metrics.QueueWebhooks {
			w.showProviders(show, s.Sampled)
		}
	}, names...)
}

// states counts what has not ended by what it waits for.
func (s sample) states() map[string]int {
	return map[string]int{
		metrics.StateReady: s.Ready, metrics.StateInFlight: s.InFlight, metrics.StateDelayed: s.Delayed,
		metrics.StateRateLimited: s.RateLimited, metrics.StateBlocked: s.Held, metrics.StateBehind: s.Behind,
	}
}

// tightest is what the connections of one provider have left: the fewest calls, the
// longest wait.
type tightest struct {
	left  int
	rated bool
	wait  time.Duration
	open  int
}

// showProviders sums the lanes up by provider, so that no label names a connection.
func (w *Worker) showProviders(show metrics.Observer, lanes []redisstore.LaneSample) {
	all := map[string]tightest{}
	for _, name := range w.parts.Providers.Names() {
		all[name] = tightest{}
	}
	for _, lane := range lanes {
		conn, ok := w.parts.Directory.ConnectionByID(lane.Connection)
		if !ok {
			continue
		}
		t := all[conn.Provider]
		if lane.Left >= 0 && (!t.rated || lane.Left < t.left) {
			t.left, t.rated = lane.Left, true
		}
		t.wait = max(t.wait, lane.Wait)
		if lane.Open {
			t.open++
		}
		all[conn.Provider] = t
	}
	for provider, t := range all {
		if t.rated {
			show(metrics.LimitRemaining, float64(t.left), provider)
		}
		show(metrics.LimitWait, t.wait.Seconds(), provider)
		show(metrics.BreakerOpen, float64(t.open), provider)
	}
}

// Observe shows how many confirmations of a queue wait to be noted. stop takes the gauge away.
func (a *Acker) Observe(queue string) (stop func()) {
	return metrics.New(nil).Watch(func(show metrics.Observer) {
		show(metrics.AcksQueued, float64(a.queued()), queue)
	}, metrics.AcksQueued)
}
