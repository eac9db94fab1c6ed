package work

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"writeback/internal/metrics"
)

const (
	outboxEvery = 500 * time.Millisecond
	outboxMost  = 32
	outboxHold  = 4 * time.Second
	// outboxAtOnce is how many are published at once: they share messages.
	outboxAtOnce = 16
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

// outboxOnce publishes some of what is overdue and gives how many. When a publish ran
// out of time the next ones would too, each for as long: they are left until their hold
// is over. A message that is refused for itself stops no other.
func (w *Worker) outboxOnce(ctx context.Context) int {
	claim, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	shards, err := w.parts.Store.Overdue(claim)
	if err != nil || len(shards) == 0 {
		return 0 // a poll tells what is wrong
	}
	records, err := w.parts.Store.Claim(claim, shards, outboxMost, outboxHold)
	if err != nil && ctx.Err() == nil {
		w.parts.Log.WarnContext(ctx, "claiming overdue messages", "error", err)
	}
	// In any order, so that what waits for a stream that is away does not stand before
	// what waits for the other, each time.
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var done, late atomic.Int32
	var g errgroup.Group
	g.SetLimit(outboxAtOnce)
	for _, rec := range records {
		if late.Load() > 0 {
			break
		}
		g.Go(func() error {
			err := w.recorder.publish(ctx, rec, false)
			if err != nil && (errors.Is(err, context.DeadlineExceeded) || !w.parts.Publisher.Connected() || ctx.Err() != nil) {
				late.Add(1)
				return nil
			}
			done.Add(1)
			return nil
		})
	}
	_ = g.Wait()
	w.metrics.repaired(ctx, metrics.RepairRepublished, int(done.Load()))
	if late.Load() > 0 {
		return 0
	}
	return len(records)
}
