package app

import (
	"context"
	"time"

	"writeback/internal/config"
	"writeback/internal/natsq"
	"writeback/internal/work"
)

// RunWorker consumes and attempts operations until ctx ends, then drains within
// the grace.
func RunWorker(ctx context.Context, b *Base, cfg config.Worker) error {
	worker := work.NewWorker(b.parts(), work.Config{
		Concurrency: cfg.Concurrency,
		Grace:       max(cfg.ShutdownGrace-recordTime, time.Second),
	}, b.Acker, b.Restorer)
	return worker.Run(ctx, natsq.NewWakes(b.JetStream, b.publisher, worker.Free, worker.DeadLetter, b.Log))
}

// recordTime is kept back of the grace to record what was broken off.
const recordTime = 3 * time.Second
