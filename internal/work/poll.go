package work

import (
	"context"
	"time"
)

// pollSpacing keeps polls that are asked for from following each other at once.
const pollSpacing = 10 * time.Millisecond

// pollLoop asks the due index: at intervals, and at once when the due lanes it
// found are used up and slots are free. Without free slots it only shows that the
// process watches the store.
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
	}
}

func (w *Worker) pollSoon() {
	select {
	case w.poll <- struct{}{}:
	default:
	}
}

func (w *Worker) pollOnce(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	most := w.Free()
	found, err := w.parts.Store.Poll(ask, most)
	if err != nil {
		if ctx.Err() == nil {
			w.parts.Log.WarnContext(ctx, "polling for due lanes", "error", err)
			pause(ctx, 500*time.Millisecond)
		}
		return
	}
	if len(found.Missing) > 0 {
		if err := w.restore.Restore(ctx, found.Missing); err != nil && ctx.Err() == nil {
			w.parts.Log.ErrorContext(ctx, "restoring shards", "shards", len(found.Missing), "error", err)
			pause(ctx, time.Second)
		}
	}
	w.saturated.Store(most > 0 && len(found.Due) >= most)
	sortDue(found.Due)
	w.lanes.found(found.Due)
}
