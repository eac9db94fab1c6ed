package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation/redisstore"
)

// book is what the keeper needs of the subscriptions; see registry.Registry.
type book interface {
	All() []Subscription
	Sweep(ctx context.Context) error
}

// Keeper brings the lanes into the state of their subscriptions: what is not active
// is held, what was deleted drains. It also says that a subscription was given up.
// Every worker runs one; doing it twice is doing it once.
type Keeper struct {
	book   book
	queue  *redisstore.Store
	fanout *Fanout
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	pending map[uuid.UUID]Subscription
	some    chan struct{}
}

// NewKeeper makes a keeper; Run must be running for it to do anything.
func NewKeeper(b book, queue *redisstore.Store, f *Fanout, log *slog.Logger) *Keeper {
	return &Keeper{
		book: b, queue: queue, fanout: f, log: log, now: time.Now,
		pending: map[uuid.UUID]Subscription{}, some: make(chan struct{}, 1),
	}
}

// Changed takes note of a subscription's new state. It never blocks. Safe for
// concurrent use.
func (k *Keeper) Changed(s Subscription) {
	k.mu.Lock()
	if k.pending[s.ID].Revision <= s.Revision {
		k.pending[s.ID] = s
	}
	k.mu.Unlock()
	select {
	case k.some <- struct{}{}:
	default:
	}
}

func (k *Keeper) take() map[uuid.UUID]Subscription {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.pending
	k.pending = map[uuid.UUID]Subscription{}
	return out
}

const (
	// keepEvery repairs a lane that a worker with an older copy has touched last.
	keepEvery  = 30 * time.Second
	sweepEvery = time.Hour
	keepPause  = time.Second
)

// Run keeps the lanes until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	repair, sweep := time.NewTicker(keepEvery), time.NewTicker(sweepEvery)
	defer repair.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-repair.C:
			for _, s := range k.book.All() {
				k.Changed(s)
			}
		case <-sweep.C:
			if err := k.book.Sweep(ctx); err != nil {
				k.log.WarnContext(ctx, "sweeping webhooks", "error", err)
			}
		case <-k.some:
			k.keepAll(ctx)
		}
	}
}

// keepAll keeps what has changed; what fails is tried again after a pause.
func (k *Keeper) keepAll(ctx context.Context) {
	var failed []Subscription
	var last error
	for _, s := range k.take() {
		if err := k.keep(ctx, s); err != nil {
			failed, last = append(failed, s), err
		}
	}
	if len(failed) == 0 || ctx.Err() != nil {
		return
	}
	k.log.WarnContext(ctx, "webhook lanes not in the state of their subscriptions yet", "count", len(failed), "error", last)
	select {
	case <-ctx.Done():
	case <-time.After(keepPause):
	}
	for _, s := range failed {
		k.Changed(s)
	}
}

// tellFor is for how long after it a subscription is still said to have been given
// up, by whoever learns of it.
const tellFor = time.Hour

func (k *Keeper) keep(ctx context.Context, s Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	held := s.Status == Paused || s.Status == Stale
	if err := k.queue.Pause(ctx, s.ID, held); err != nil {
		return err
	}
	if !held && k.fanout.Look != nil {
		k.fanout.Look(s.ID)
	}
	if s.Status == Stale && k.now().Sub(s.StaledAt) < tellFor {
		return k.fanout.Staled(ctx, s)
	}
	return nil
}
