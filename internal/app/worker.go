package app

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"writeback/internal/config"
	"writeback/internal/natsq"
	"writeback/internal/work"
)

// RunWorker does what the roles say until ctx ends, then drains within the grace.
func RunWorker(ctx context.Context, b *Base, cfg config.Worker) error {
	g, ctx := errgroup.WithContext(ctx)
	if cfg.Has(config.RoleOperations) {
		g.Go(func() error { return runOperations(ctx, b, cfg) })
	}
	if cfg.Has(config.RoleWebhooks) {
		g.Go(func() error { return RunWebhooks(ctx, b, cfg) })
	}
	if cfg.Has(config.RoleSync) {
		g.Go(func() error { return RunSync(ctx, b, cfg) })
	}
	// A worker without work is no worker that has ended.
	g.Go(func() error { return watchStreams(ctx, b) })
	return g.Wait()
}

// runOperations consumes and attempts operations.
func runOperations(ctx context.Context, b *Base, cfg config.Worker) error {
	worker := work.NewWorker(b.parts(), work.Config{
		Concurrency: cfg.Concurrency,
		Grace:       callGrace(cfg),
	}, b.Acker, b.Restorer)
	return worker.Run(ctx, natsq.NewWakes(b.JetStream, b.publisher, worker.Free, worker.DeadLetter, b.Log))
}

// callGrace is the grace without what is kept back of it to record what was broken off.
func callGrace(cfg config.Worker) time.Duration {
	return max(cfg.ShutdownGrace-work.RecordTime, time.Second)
}
