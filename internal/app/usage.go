package app

import (
	"context"
	"sync/atomic"
	"time"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
)

const (
	// usageEvery is how often a worker asks how full the streams are: they fill in days.
	usageEvery = 30 * time.Second
	// usageFor is how long an answer is shown.
	usageFor = 3 * usageEvery
)

// usage is what the streams were last found to hold.
type usage struct {
	streams []natsq.Usage
	at      time.Time
}

// watchStreams shows how full the streams are until ctx ends. While NATS is away the
// gauges disappear, and nothing waits for them.
func watchStreams(ctx context.Context, b *Base) error {
	var last atomic.Pointer[usage]
	stop := metrics.New(nil).Watch(func(show metrics.Observer) {
		u := last.Load()
		if u == nil || time.Since(u.at) > usageFor {
			return
		}
		for _, s := range u.streams {
			show(metrics.StreamUsed, float64(s.Bytes), s.Stream)
			if s.Limit > 0 {
				show(metrics.StreamLimit, float64(s.Limit), s.Stream)
			}
		}
	}, metrics.StreamUsed, metrics.StreamLimit)
	defer stop()
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		if streams, err := b.usages(ctx); err == nil {
			last.Store(&usage{streams, time.Now()})
		} else if ctx.Err() == nil {
			b.Log.DebugContext(ctx, "asking how full the streams are", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Base) usages(ctx context.Context) ([]natsq.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return natsq.Usages(ctx, b.JetStream)
}
