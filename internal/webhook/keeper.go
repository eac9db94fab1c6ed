package webhook

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
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

	// kept is the last one that was repaired; only Run uses it.
	kept uuid.UUID

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
	// keepEvery repairs lanes that a worker with an older copy has touched last: those
	// of what was changed lately, and a share of the others in turn, so that ten
	// thousand subscriptions cost no more than a few hundred.
	keepEvery  = 30 * time.Second
	keepLately = 5 * time.Minute
	keepShare  = 256
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
			for _, s := range k.toRepair() {
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

// toRepair gives what was changed lately and the next share of the rest.
func (k *Keeper) toRepair() []Subscription {
	var out, rest []Subscription
	for _, s := range k.book.All() {
		if k.now().Sub(s.UpdatedAt) < keepLately {
			out = append(out, s)
		} else {
			rest = append(rest, s)
		}
	}
	slices.SortFunc(rest, func(a, b Subscription) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	from, _ := slices.BinarySearchFunc(rest, k.kept, func(s Subscription, id uuid.UUID) int { return bytes.Compare(s.ID[:], id[:]) })
	if from < len(rest) && rest[from].ID == k.kept {
		from++
	}
	share := rest[from:min(from+keepShare, len(rest))]
	k.kept = uuid.Nil // all had their turn
	if len(share) == keepShare {
		k.kept = share[keepShare-1].ID
	}
	return append(out, share...)
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

// freshFor is for how long after it a change, or being made active, ends what the endpoint
// asked for before: shorter than keepEvery, so that what it asks for from then on stands.
const freshFor = 20 * time.Second

func (k *Keeper) keep(ctx context.Context, s Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	held := s.Status == Paused || s.Status == Stale
	if !held && k.now().Sub(s.Since()) < freshFor {
		if err := k.queue.Unblock(ctx, s.ID); err != nil {
			return err
		}
	}
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
