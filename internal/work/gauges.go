package work

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

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
	stop, err := w.observe(g)
	if err != nil {
		w.parts.Log.WarnContext(ctx, "gauges", "error", err)
	}
	defer stop()
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
	name, unit, about string
	value             func(sample) float64
}

var storeGauges = []gauge{
	{"writeback.due.lanes", "{lane}", "Lanes to be looked at now. Zero while workers keep up.", func(s sample) float64 { return float64(s.LanesDue) }},
	{"writeback.due.age", "s", "For how long the lane longest due has been so.", func(s sample) float64 { return s.DueAge.Seconds() }},
	{"writeback.outbox.depth", "{operation}", "Operations of which something is not known to be in a stream.", func(s sample) float64 { return float64(s.Outbox) }},
	{"writeback.outbox.age", "s", "For how long the oldest entry of the outbox has been overdue.", func(s sample) float64 { return s.OutboxAge.Seconds() }},
	{"writeback.operations.ready", "{operation}", "Operations that a free slot could call now. Estimated beyond the lanes read.", func(s sample) float64 { return float64(s.Ready) }},
	{"writeback.operations.outstanding", "{operation}", "Operations that have not ended. Estimated beyond the lanes read.", func(s sample) float64 { return float64(s.Outstanding) }},
	{"writeback.operations.in_flight", "{operation}", "Operations being called, over all workers. Estimated beyond the lanes read.", func(s sample) float64 { return float64(s.InFlight) }},
	{"writeback.lanes", "{lane}", "Lanes with outstanding operations.", func(s sample) float64 { return float64(s.Lanes) }},
	{"writeback.lanes.read", "{lane}", "Lanes that the sample read. Below writeback_lanes, counts over lanes are estimates.", func(s sample) float64 { return float64(s.Read) }},
	{"writeback.lanes.blocked", "{lane}", "Lanes that wait because a provider asked for it.", func(s sample) float64 { return float64(s.Blocked) }},
	{"writeback.lanes.breaker_open", "{lane}", "Lanes whose provider is not reached.", func(s sample) float64 { return float64(s.Open) }},
	{"writeback.lanes.paused", "{lane}", "Lanes that an operator paused.", func(s sample) float64 { return float64(s.Paused) }},
	{"writeback.shards.missing", "{shard}", "Shards without data, which refuse everything.", func(s sample) float64 { return float64(s.Missing) }},
	{"writeback.shards.unfinished", "{shard}", "Shards whose older history is not back yet.", func(s sample) float64 { return float64(s.Unfinished) }},
}

// observe registers the gauges; stop takes them away.
func (w *Worker) observe(g *gauges) (stop func(), err error) {
	m := otel.Meter("writeback/work")
	all := make([]metric.Observable, 0, len(storeGauges)+2)
	floats := make([]metric.Float64ObservableGauge, len(storeGauges))
	var errs []error
	for i, one := range storeGauges {
		var made error
		floats[i], made = m.Float64ObservableGauge(one.name, metric.WithUnit(one.unit), metric.WithDescription(one.about))
		errs, all = append(errs, made), append(all, floats[i])
	}
	free, made := m.Int64ObservableGauge("writeback.slots.free", metric.WithUnit("{slot}"), metric.WithDescription("Calls that this worker could make besides those under way."))
	errs, all = append(errs, made), append(all, free)
	total, made := m.Int64ObservableGauge("writeback.slots", metric.WithUnit("{slot}"), metric.WithDescription("Calls that this worker makes at a time."))
	errs, all = append(errs, made), append(all, total)
	r, made := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(free, int64(w.Free()))
		o.ObserveInt64(total, int64(w.cfg.Concurrency))
		if s, ok := g.current(); ok {
			for i, one := range storeGauges {
				o.ObserveFloat64(floats[i], one.value(s))
			}
		}
		return nil
	}, all...)
	return unregister(r), errors.Join(append(errs, made)...)
}

func unregister(r metric.Registration) func() {
	return func() {
		if r != nil {
			_ = r.Unregister()
		}
	}
}

// Observe shows what every process has: whether NATS is connected, and how many
// confirmations wait to be noted. stop takes the gauges away.
func (a *Acker) Observe(connected func() bool) (stop func(), err error) {
	m := otel.Meter("writeback/work")
	var errs []error
	nats, made := m.Int64ObservableGauge("writeback.nats.connected", metric.WithDescription("1 while this process is connected to NATS, else 0."))
	errs = append(errs, made)
	queued, made := m.Int64ObservableGauge("writeback.acks.queued", metric.WithUnit("{confirmation}"), metric.WithDescription("Confirmations of the streams that wait to be noted in the store."))
	errs = append(errs, made)
	r, made := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		var up int64
		if connected() {
			up = 1
		}
		o.ObserveInt64(nats, up)
		o.ObserveInt64(queued, int64(len(a.queue)))
		return nil
	}, nats, queued)
	return unregister(r), errors.Join(append(errs, made)...)
}
