package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// throughOutage runs operations of different users by the scripts, the table of
// outcomes and the default retry policy, on a clock that goes from one due time to
// the next. Every call before the outage's end is answered 500. passed is called with
// each look at the lane.
func (c *clocked) throughOutage(outage time.Duration, operations int, passed func(elapsed time.Duration)) []uuid.UUID {
	c.t.Helper()
	c.limits = redisstore.Limits{InFlight: operations, Call: 20 * time.Second, Life: operation.DefaultDeadline}
	ids := make([]uuid.UUID, operations)
	for i := range ids {
		a := c.accepted(uuid.New())
		a.MaxAttempts = 0
		c.accept(a)
		ids[i] = a.ID
	}
	began := c.now
	for due, ok := c.due(); ok; due, ok = c.due() {
		c.pass(max(due.Sub(time.UnixMicro(c.now))+time.Millisecond, 0))
		elapsed := time.Duration(c.now-began) * time.Microsecond
		passed(elapsed)
		for _, l := range c.next(16).Leases {
			var f *operation.Failure
			if elapsed < outage {
				f = &operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 500, Detail: "answered 500"}
			}
			d := operation.Decide(f, operation.Situation{Number: l.Number, MaxAttempts: l.MaxAttempts, Left: l.Left}, operation.Backoff{})
			o := c.outcome(l, d)
			if f != nil {
				o.Attempt.Detail = f.Detail + "; " + d.GaveUp
			}
			_, err := c.store.Record(c.t.Context(), o)
			require.NoError(c.t, err)
		}
	}
	return ids
}

// What the default policy does for one operation, pkg/operation shows for thousands;
// that the due index, the deadlines and the attempt limit do the same is shown here.
func TestOutage_OfAnHourEndsNothing(t *testing.T) {
	t.Parallel()
	const all = 150
	c := newClocked(t, redisstore.Config{})
	pending := int64(-1)
	ids := c.throughOutage(time.Hour, all, func(elapsed time.Duration) {
		if elapsed >= time.Hour && pending < 0 {
			pending = c.rdb.ZCard(t.Context(), c.key("pend:"+c.conn.String())).Val()
		}
	})
	require.GreaterOrEqual(t, pending, int64(all-2), "still pending when the provider comes back; a loss of three comes once in 10^9 runs")
	var succeeded int64
	for _, id := range ids {
		op := c.get(id)
		require.True(t, op.Status.Terminal())
		require.LessOrEqual(t, op.Attempted, operation.DefaultMaxAttempts)
		require.Len(t, op.Attempts, op.Attempted)
		require.True(t, op.UpdatedAt.Before(op.Deadline))
		if op.Status == operation.Succeeded {
			succeeded++
		}
	}
	require.Equal(t, pending, succeeded, "all that were pending succeed")
}

func TestOutage_OfADayEndsWithAReason(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	for _, id := range c.throughOutage(operation.DefaultDeadline, 30, func(time.Duration) {}) {
		op := c.get(id)
		require.Equal(t, operation.Failed, op.Status)
		require.Equal(t, operation.DefaultMaxAttempts, op.Attempted)
		require.True(t, op.UpdatedAt.Before(op.Deadline))
		require.Contains(t, op.Attempts[len(op.Attempts)-1].Detail, "gave up after attempt 12 of 12")
	}
}
