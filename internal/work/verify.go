package work

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// verifyMargin is read again before the last sign that a shard's data was whole: the
// clocks of Redis and NATS differ.
const verifyMargin = 5 * time.Second

// Verify closes the shards in which Redis lacks something that a stream has got since
// the last sign of life there. A process calls it before it does anything else: if
// all that were answered in the moments that Redis lost have died, nobody else notices.
// The shards that it closes are restored like any that lost its data. It marks the shards before
// and after it compares: one that goes back meanwhile, or before the process calls anything, is
// noticed by the second mark or the first call.
func (r *Restorer) Verify(ctx context.Context) error {
	fillings, err := r.store.Fillings(ctx)
	if err != nil || len(fillings) == 0 {
		return err
	}
	if err := r.store.Mark(ctx, fillings); err != nil {
		return err
	}
	operations, events, err := r.history.Ends(ctx)
	if err != nil {
		return err
	}
	since := fillings[0].Since
	for _, f := range fillings {
		if f.Since.Before(since) {
			since = f.Since
		}
	}
	since = since.Add(-verifyMargin)
	c := comparison{
		store: r.store, filled: map[int]redisstore.Filling{}, lacking: map[int]operation.Operation{}, forgotten: map[uuid.UUID]bool{},
	}
	for _, f := range fillings {
		c.filled[f.Shard] = f
	}
	if err := r.compareAll(ctx, c, since, operations, events); err != nil && !errors.Is(err, errAllLack) {
		return err
	}
	for shard, op := range c.lacking {
		r.log.WarnContext(ctx, "Redis lacks what a stream has; the shard is closed and rebuilt", "shard", shard, "operation_id", op.ID)
		if err := r.store.CloseFilling(ctx, c.filled[shard]); err != nil {
			return err
		}
	}
	return r.store.Mark(ctx, fillings)
}

// errAllLack says that nothing more can be found: no filled shard is whole.
var errAllLack = errors.New("all shards lack something")

// compareAll reads both streams from then on, up to where they ended, for as long as it
// takes. Ends come first: they say what need not be there any more.
func (r *Restorer) compareAll(ctx context.Context, c comparison, since time.Time, operations, events uint64) error {
	err := r.history.Events(ctx, since, events, func(batch []operation.Event) error {
		return compare(ctx, c, slices.DeleteFunc(batch, c.forget), eventFact)
	})
	if err != nil {
		return fmt.Errorf("work: verify: events: %w", err)
	}
	err = r.history.Operations(ctx, since, operations, func(batch []operation.Message) error {
		known := func(m operation.Message) bool { return c.forgotten[m.ID] }
		return compare(ctx, c, slices.DeleteFunc(batch, known), acceptedFact)
	})
	if err != nil {
		return fmt.Errorf("work: verify: operations: %w", err)
	}
	return nil
}

// comparison is one reading of the streams beside Redis.
type comparison struct {
	store  *redisstore.Store
	filled map[int]redisstore.Filling
	// lacking names one operation for each shard that is not whole.
	lacking map[int]operation.Operation
	// forgotten are those that ended so long ago that the store may have dropped them.
	forgotten map[uuid.UUID]bool
}

// forgetMargin is before the end of a record's life: the comparison takes its time.
const forgetMargin = 10 * time.Minute

// forget notes what ended long ago, and says whether this did.
func (c comparison) forget(e operation.Event) bool {
	kept := c.store.Config().RecordTTL - forgetMargin
	if e.Kind == operation.EventAttempted || time.Since(e.Operation.UpdatedAt) < kept {
		return false
	}
	c.forgotten[e.Operation.ID] = true
	return true
}

func compare[T any](ctx context.Context, c comparison, batch []T, fact func(T) redisstore.Fact) error {
	facts := make([]redisstore.Fact, 0, len(batch))
	for _, item := range batch {
		f := fact(item)
		shard := operation.ShardOf(f.Operation.ConnectionID)
		_, filled := c.filled[shard]
		if _, known := c.lacking[shard]; filled && !known {
			facts = append(facts, f)
		}
	}
	if len(facts) == 0 {
		return nil
	}
	lacking, err := c.store.Lacks(ctx, facts)
	for _, op := range lacking {
		c.lacking[operation.ShardOf(op.ConnectionID)] = op
	}
	if err == nil && len(c.lacking) == len(c.filled) {
		return errAllLack
	}
	return err
}
