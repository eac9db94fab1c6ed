package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/work"
)

// streamsEvery is how often a program looks whether the streams are there.
const streamsEvery = 10 * time.Second

// streamKeeper makes streams and consumers anew that somebody has deleted, or that NATS
// came back without, and sees to it that they hold what they must.
type streamKeeper struct {
	base     *Base
	refiller *work.Refiller
	every    time.Duration
	// seen are those that were there once, with how far they were then; see natsq.There.
	seen map[string]uint64
	// missed are those that were gone at the last look.
	missed []string
	// problem is what /readyz says. Nil: nothing.
	problem atomic.Pointer[error]
	// count is how many are gone, at least one as long as there is a problem.
	count atomic.Int64
}

func newStreamKeeper(b *Base) *streamKeeper {
	return &streamKeeper{
		base: b, every: streamsEvery,
		refiller: work.NewRefiller(b.Store, natsq.NewHistory(b.JetStream), b.publisher, b.partners, b.Log),
		seen: map[string]uint64{
			natsq.StreamOperations: 0, natsq.StreamEvents: 0, natsq.StreamDead: 0,
			natsq.StreamOperations + " " + natsq.ConsumerQuiet: 0,
		},
	}
}

// partners are those of all connections.
func (b *Base) partners() []uuid.UUID {
	all := map[uuid.UUID]bool{}
	for _, c := range b.Directory.All() {
		all[c.PartnerID] = true
	}
	return slices.Collect(maps.Keys(all))
}

// begin makes the streams that are not there, as a program does that starts. With one of
// those that Redis is filled from gone beside the other, it is no new installation.
func (k *streamKeeper) begin(ctx context.Context) error {
	half, err := natsq.Half(ctx, k.base.JetStream)
	if err == nil && half {
		err = k.refiller.CanFill(ctx)
	}
	if err != nil {
		return err
	}
	return natsq.Ensure(ctx, k.base.JetStream, k.base.streams)
}

// check is what readiness asks.
func (k *streamKeeper) check(context.Context) error {
	if err := k.problem.Load(); err != nil {
		return *err
	}
	return nil
}

// run looks until ctx ends.
func (k *streamKeeper) run(ctx context.Context) error {
	stop := metrics.New(nil).Watch(func(show metrics.Observer) {
		show(metrics.StreamsMissing, float64(k.count.Load()))
	}, metrics.StreamsMissing)
	defer stop()
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for {
		var err error
		if k.base.publisher.Connected() { // else that is what is wrong
			err = k.look(ctx)
		}
		if ctx.Err() == nil {
			k.say(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *streamKeeper) say(ctx context.Context, err error) {
	if err == nil {
		k.problem.Store(nil)
		k.count.Store(0)
		return
	}
	k.problem.Store(&err)
	k.count.Store(int64(max(len(k.missed), 1)))
	k.base.Log.WarnContext(ctx, "looking after the streams", "error", err)
}

// look makes anew what was gone at the last look already, so that a server that has just
// come back has time to say what it has.
func (k *streamKeeper) look(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	there, err := natsq.There(asking, k.base.JetStream)
	if err != nil {
		return err
	}
	maps.Copy(k.seen, there)
	var gone, still []string
	for name := range k.seen {
		if _, ok := there[name]; !ok {
			gone = append(gone, name)
			if slices.Contains(k.missed, name) {
				still = append(still, name)
			}
		}
	}
	slices.Sort(gone)
	k.missed = gone
	switch {
	case len(still) > 0:
		err = k.make(asking, gone, there)
	case len(gone) > 0:
		return k.lost(gone)
	}
	if err != nil {
		return err
	}
	k.missed = nil
	if k.base.Store.TakesWrites(asking) != nil {
		return nil // that is what is wrong then, and says nothing of the streams
	}
	return k.refiller.Check(ctx) // it takes as long as there is to publish
}

var errLost = errors.New("deleted, or NATS came back without it")

func (k *streamKeeper) lost(gone []string) error {
	return fmt.Errorf("app: streams: %s: %w", strings.Join(gone, ", "), errLost)
}

func (k *streamKeeper) make(ctx context.Context, gone []string, there map[string]uint64) error {
	if slices.Contains(gone, natsq.StreamOperations) || slices.Contains(gone, natsq.StreamEvents) {
		if err := k.refiller.CanFill(ctx); err != nil {
			return errors.Join(k.lost(gone), err)
		}
	}
	k.base.Log.ErrorContext(ctx, "streams or consumers are gone; they are made anew", "gone", gone)
	streams := k.base.streams
	streams.After = map[string]uint64{}
	for name, acked := range k.seen {
		if stream, consumer, of := strings.Cut(name, " "); of {
			streams.After[consumer] = min(acked, there[stream]) // of a stream made anew, all
		}
	}
	if err := natsq.Ensure(ctx, k.base.JetStream, streams); err != nil {
		return errors.Join(k.lost(gone), err)
	}
	if !slices.ContainsFunc(gone, ofWebhooks) {
		return nil
	}
	err := natsq.EnsureWebhooks(ctx, k.base.JetStream, natsq.WebhookConfig{Replicas: streams.Replicas, After: streams.After, Log: streams.Log})
	if err != nil {
		return errors.Join(k.lost(gone), err)
	}
	return nil
}

// ofWebhooks reports whether only those who need webhooks make it.
func ofWebhooks(name string) bool {
	_, consumer, of := strings.Cut(name, " ")
	return name == natsq.StreamDeliveries || name == natsq.StreamDeliveryEvents || of && consumer != natsq.ConsumerQuiet
}
