package app

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"writeback/internal/config"
	"writeback/internal/natsq"
	"writeback/internal/work"
)

// role is one of the things that a worker does. It calls works once it has what it waits
// for.
type role func(ctx context.Context, b *Base, cfg config.Worker, works func()) error

// RunWorker does what the roles say until ctx ends, then drains within the grace. started
// is called once all of them work: a role may wait for a stream or bucket of its own.
func RunWorker(ctx context.Context, b *Base, cfg config.Worker, started func()) error {
	g, ctx := errgroup.WithContext(ctx)
	var roles []role
	for name, run := range map[string]role{
		config.RoleOperations: runOperations, config.RoleWebhooks: RunWebhooks, config.RoleSync: RunSync,
	} {
		if cfg.Has(name) {
			roles = append(roles, run)
		}
	}
	var waiting atomic.Int64
	waiting.Store(int64(len(roles)))
	works := func() {
		if waiting.Add(-1) == 0 {
			started()
		}
	}
	for _, run := range roles {
		g.Go(func() error { return run(ctx, b, cfg, works) })
	}
	// A worker without work is no worker that has ended.
	g.Go(func() error { return watchStreams(ctx, b) })
	return g.Wait()
}

// runOperations consumes and attempts operations.
func runOperations(ctx context.Context, b *Base, cfg config.Worker, works func()) error {
	worker := work.NewWorker(b.parts(), work.Config{
		Concurrency: cfg.Concurrency,
		Grace:       callGrace(cfg),
	}, b.Acker, b.Restorer)
	works()
	return worker.Run(ctx, natsq.NewWakes(b.JetStream, b.publisher, worker.Free, worker.DeadLetter, b.Log))
}

// callGrace is the grace without what is kept back of it to record what was broken off.
func callGrace(cfg config.Worker) time.Duration {
	return max(cfg.ShutdownGrace-work.RecordTime, time.Second)
}
