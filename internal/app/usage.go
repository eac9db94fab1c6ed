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
	// wait is how long events have waited for webhooks, if any are told.
	wait time.Duration
	told bool
	at   time.Time
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
		if u.told {
			show(metrics.WebhookEventAge, u.wait.Seconds())
		}
		for _, s := range u.streams {
			show(metrics.StreamUsed, float64(s.Bytes), s.Stream)
			if s.Limit > 0 {
				show(metrics.StreamLimit, float64(s.Limit), s.Stream)
			}
		}
	}, metrics.StreamUsed, metrics.StreamLimit, metrics.WebhookEventAge)
	defer stop()
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		if now, err := b.usage(ctx); err == nil {
			last.Store(now)
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

func (b *Base) usage(ctx context.Context) (*usage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	streams, err := natsq.Usages(ctx, b.JetStream)
	if err != nil {
		return nil, err
	}
	wait, told, err := natsq.WebhookWait(ctx, b.JetStream)
	return &usage{streams, wait, told, time.Now()}, err
}
