package work

import (
	"context"
	"log/slog"
	"time"

	"writeback/pkg/operation/redisstore"
)

// Acker notes in the store what the streams have confirmed, off the critical path
// and many at a time. What it drops is published again by the outbox.
type Acker struct {
	store *redisstore.Store
	queue chan redisstore.Ack
	log   *slog.Logger
}

const (
	ackQueue = 16384
	ackBatch = 2048
	// ackEvery is how long confirmations are collected: nothing waits for them, and
	// the outbox does not repeat a message before its two seconds are over.
	ackEvery = 200 * time.Millisecond
)

// NewAcker makes an acker; Run must be running for it to do anything.
func NewAcker(store *redisstore.Store, log *slog.Logger) *Acker {
	return &Acker{store: store, queue: make(chan redisstore.Ack, ackQueue), log: log}
}

// Note takes a confirmation. It never blocks. Safe for concurrent use.
func (a *Acker) Note(ack redisstore.Ack) {
	select {
	case a.queue <- ack:
	default:
	}
}

// Run writes confirmations until ctx ends, and then those that are left.
func (a *Acker) Run(ctx context.Context) error {
	for {
		select {
		case ack := <-a.queue:
			a.write(ctx, a.collect(ctx, ack))
		case <-ctx.Done():
			a.flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// collect waits a little for more.
func (a *Acker) collect(ctx context.Context, first redisstore.Ack) []redisstore.Ack {
	batch := append(make([]redisstore.Ack, 0, ackBatch), first)
	enough := time.NewTimer(ackEvery)
	defer enough.Stop()
	for len(batch) < ackBatch {
		select {
		case ack := <-a.queue:
			batch = append(batch, ack)
		case <-enough.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// flush writes what is queued; this goroutine alone takes from the queue, so its length
// is what there is at least.
func (a *Acker) flush(ctx context.Context) {
	for n := len(a.queue); n > 0; n = len(a.queue) {
		batch := make([]redisstore.Ack, min(n, ackBatch))
		for i := range batch {
			batch[i] = <-a.queue
		}
		a.write(ctx, batch)
	}
}

func (a *Acker) write(ctx context.Context, batch []redisstore.Ack) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := a.store.Acked(ctx, batch); err != nil {
		a.log.WarnContext(ctx, "noting confirmations; the outbox repeats them", "count", len(batch), "error", err)
	}
}
