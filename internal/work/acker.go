package work

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"writeback/internal/telemetry"
	"writeback/pkg/operation/redisstore"
)

// Acker notes in the store what the streams have confirmed, off the critical path
// and many at a time. What it drops is published again by the outbox.
type Acker struct {
	store *redisstore.Store
	log   *slog.Logger

	mu    sync.Mutex
	noted []redisstore.Ack
	some  chan struct{} // something has been noted
	many  chan struct{} // a batch has been noted
}

const (
	// ackMost bounds what is noted and not written.
	ackMost  = 16384
	ackBatch = 2048
	// ackEvery is how long confirmations are collected: nothing waits for them, and
	// the outbox does not repeat a message before its two seconds are over.
	ackEvery = 200 * time.Millisecond
	// ackStep is how many are written at once when there is time: what waits for Redis
	// meanwhile waits for these only.
	ackStep = 16
)

// NewAcker makes an acker; Run must be running for it to do anything.
func NewAcker(store *redisstore.Store, log *slog.Logger) *Acker {
	return &Acker{store: store, log: telemetry.Seldom(log), some: make(chan struct{}, 1), many: make(chan struct{}, 1)}
}

// Note takes a confirmation. It never blocks. Safe for concurrent use.
func (a *Acker) Note(ack redisstore.Ack) {
	a.mu.Lock()
	if len(a.noted) < ackMost {
		a.noted = append(a.noted, ack)
	}
	n := len(a.noted)
	a.mu.Unlock()
	switch n { // whoever comes in between wakes nobody
	case 1:
		signal(a.some)
	case ackBatch:
		signal(a.many)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run writes confirmations until ctx ends, and then those that are left.
func (a *Acker) Run(ctx context.Context) error {
	took := time.Now()
	for {
		select {
		case <-a.some:
		case <-ctx.Done():
			a.write(ctx, a.take())
			return nil
		}
		select { // what was noted while the last ones were written has waited
		case <-time.After(ackEvery - time.Since(took)):
		case <-a.many:
		case <-ctx.Done():
		}
		took = time.Now()
		a.spread(ctx, a.take())
	}
}

// queued counts what is noted and not written.
func (a *Acker) queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.noted)
}

func (a *Acker) take() []redisstore.Ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.noted
	a.noted = make([]redisstore.Ack, 0, min(2*len(all), ackBatch))
	return all
}

// spread writes what was collected in steps, over as long as that takes again. More than
// a batch came faster, and goes at once.
func (a *Acker) spread(ctx context.Context, all []redisstore.Ack) {
	if len(all) >= ackBatch {
		a.write(ctx, all)
		return
	}
	steps := redisstore.AckSteps(all, ackStep)
	for i, step := range steps {
		a.write(ctx, step)
		if i < len(steps)-1 {
			pause(ctx, ackEvery/time.Duration(len(steps)))
		}
	}
}

func (a *Acker) write(ctx context.Context, all []redisstore.Ack) {
	for batch := range slices.Chunk(all, ackBatch) {
		a.writeOnce(context.WithoutCancel(ctx), batch)
	}
}

func (a *Acker) writeOnce(ctx context.Context, batch []redisstore.Ack) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := a.store.Acked(ctx, batch); err != nil {
		a.log.WarnContext(ctx, "noting confirmations; the outbox repeats them", "count", len(batch), "error", err)
	}
}
