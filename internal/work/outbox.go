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
	// outboxShortest and outboxLongest bound the wait for streams that take nothing.
	outboxShortest, outboxLongest = time.Second, 30 * time.Second
)

// outboxLoop publishes what is overdue, until ctx ends. It stands still while NATS
// is away: entries then wait in Redis, before no lane.
func (w *Worker) outboxLoop(ctx context.Context) error {
	for wait := outboxEvery; ; wait = w.drainOutbox(ctx, wait) {
		if pause(ctx, wait); ctx.Err() != nil {
			return nil
		}
	}
}

// drainOutbox publishes until nothing is overdue, or until most of it is refused, and
// gives when to look again: ever later while a stream that is full, or not there, takes
// nothing. last is what it gave before.
func (w *Worker) drainOutbox(ctx context.Context, last time.Duration) time.Duration {
	for w.parts.Publisher.Connected() && ctx.Err() == nil {
		r := w.outboxOnce(ctx)
		switch {
		case r.refused > 0 && r.published == 0:
			return min(max(2*last, outboxShortest), outboxLongest)
		case r.late > 0 || r.refused >= r.published:
			return outboxEvery
		}
	}
	return outboxEvery
}

// round says what came of the publishes that a look into the outbox led to.
type round struct{ published, refused, late int }

// outboxOnce publishes some of what is overdue. When a publish ran out of time the next
// ones would too, each for as long: they are left until their hold is over. A message
// that is refused stops no other.
func (w *Worker) outboxOnce(ctx context.Context) round {
	claim, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	shards, _ := w.parts.Store.Overdue(claim)
	if len(shards) == 0 {
		return round{} // a poll tells what is wrong
	}
	records, err := w.parts.Store.Claim(claim, shards, outboxMost, outboxHold)
	if err != nil && ctx.Err() == nil {
		w.away.WarnContext(ctx, "claiming overdue messages", "error", err)
	}
	// In any order, so that what waits for a stream that is away does not stand before
	// what waits for the other, each time.
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var published, refused, late atomic.Int32
	var g errgroup.Group
	g.SetLimit(outboxAtOnce)
	for _, rec := range records {
		if late.Load() > 0 {
			break
		}
		g.Go(func() error {
			switch err := w.recorder.publish(ctx, rec, false); {
			case err == nil:
				published.Add(1)
			case errors.Is(err, errOld) || errors.Is(err, context.DeadlineExceeded) || !w.parts.Publisher.Connected() || ctx.Err() != nil:
				late.Add(1)
			default:
				refused.Add(1)
			}
			return nil
		})
	}
	_ = g.Wait()
	w.metrics.repaired(ctx, metrics.RepairRepublished, int(published.Load()))
	return round{int(published.Load()), int(refused.Load()), int(late.Load())}
}
