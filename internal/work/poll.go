package work

import (
	"context"
	"time"

	"writeback/pkg/operation/redisstore"
)

// pollSpacing keeps polls that are asked for from following each other at once. It is as
// long as a slot stays with its lane by default: what is found sooner finds no slot.
const pollSpacing = 50 * time.Millisecond

// pollWhole is how often a poll is one that notices losses and raises the beat. Those
// in between only look for due lanes.
const pollWhole = 400 * time.Millisecond

// pollLeast is how many lanes of a shard a worker without free slots asks for: the
// next slot that it frees belongs to the lane longest due, not to one of its own.
const pollLeast = 4

// pollLoop asks the due index: at intervals, and at once when the due lanes it
// found are used up.
func (w *Worker) pollLoop(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.poll:
			pause(ctx, pollSpacing)
		}
		w.pollOnce(ctx)
		tick.Reset(w.cfg.Poll)
	}
}

func (w *Worker) pollOnce(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	most := max(w.Free(), pollLeast)
	if time.Since(w.whole) < pollWhole {
		due, err := w.parts.Store.Glance(ask, most)
		if err == nil {
			w.foundDue(due, most)
			return
		}
	}
	found, err := w.parts.Store.Poll(ask, most)
	if err == nil {
		w.whole = time.Now()
		w.heed(found, most)
		return
	}
	if len(found.Due)+len(found.Missing) > 0 { // in a cluster of which a part is away
		w.heed(found, most)
	}
	if ctx.Err() == nil {
		w.away.WarnContext(ctx, "polling for due lanes", "error", err)
		pause(ctx, 500*time.Millisecond)
	}
}

// heed takes what a whole poll found.
func (w *Worker) heed(found redisstore.Polled, most int) {
	if len(found.Missing)+len(found.Unfinished) > 0 {
		select {
		case w.lost <- lost{found.Missing, found.Unfinished}:
		default: // the last ones are still being restored
		}
	}
	w.foundDue(found.Due, most)
}

func (w *Worker) foundDue(due []redisstore.Due, most int) {
	w.saturated.Store(len(due) >= most)
	w.lanes.found(due)
}

// lost are shards without data, and shards without their older history.
type lost struct{ missing, unfinished []int }

// restoreLoop restores what polls found lost, beside the work on other shards.
func (w *Worker) restoreLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-w.lost:
			err := w.restoreOnce(ctx, l)
			if err != nil && ctx.Err() == nil {
				w.parts.Log.ErrorContext(ctx, "restoring shards", "missing", len(l.missing), "unfinished", len(l.unfinished), "error", err)
				pause(ctx, time.Second)
			}
		}
	}
}

func (w *Worker) restoreOnce(ctx context.Context, l lost) error {
	if len(l.missing) > 0 {
		return w.restore.Restore(ctx, l.missing)
	}
	return w.restore.Finish(ctx, l.unfinished)
}
