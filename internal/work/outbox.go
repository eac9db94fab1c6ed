package work

import (
	"context"
	"time"
)

const (
	outboxEvery = 500 * time.Millisecond
	outboxMost  = 32
	outboxHold  = 4 * time.Second
)

// outboxLoop publishes what is overdue, until ctx ends. It stands still while NATS
// is away: entries then wait in Redis, before no lane.
func (w *Worker) outboxLoop(ctx context.Context) error {
	tick := time.NewTicker(outboxEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for w.parts.Publisher.Connected() && ctx.Err() == nil {
			if w.outboxOnce(ctx) == 0 {
				break
			}
		}
	}
}

func (w *Worker) outboxOnce(ctx context.Context) int {
	claim, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	records, err := w.parts.Store.Claim(claim, outboxMost, outboxHold)
	if err != nil && ctx.Err() == nil {
		w.parts.Log.WarnContext(ctx, "claiming overdue messages", "error", err)
	}
	for _, rec := range records {
		w.recorder.publish(ctx, rec)
	}
	w.metrics.repaired(ctx, "republished", len(records))
	return len(records)
}
