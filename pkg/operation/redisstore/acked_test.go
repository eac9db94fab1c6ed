package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// What the streams confirm comes one by one, in any order, and maybe twice: it is noted, and with the last of
// it the operation leaves the outbox, and an ended one gets its time to live.
func TestAcked_OneByOne(t *testing.T) {
	t.Parallel()
	const accepted, early, final = 0, 1, 2
	for _, unlisted := range []bool{false, true} {
		for _, order := range [][]int{
			{accepted, early, final}, {accepted, final}, {final, accepted}, {early, final, accepted},
			{final, early, accepted}, {early, accepted, final}, {accepted, accepted, final}, {final, final, accepted},
		} {
			t.Run(fmt.Sprintf("unlisted %t, %v", unlisted, order), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, testenv.Redis(t), redisstore.Config{Unlisted: unlisted})
				a := f.accepted(uuid.New())
				f.accept(a)
				one := f.record(f.next(1).Leases[0], again(0))
				two := f.record(f.next(1).Leases[0], succeed)
				ended := two.Operation
				parts := []redisstore.Ack{
					accepted: {Accepted: true},
					early:    {Rows: 1, RowVersion: one.RowVersion},
					final:    {Rows: 2, RowVersion: two.RowVersion, Final: true, Ended: &ended},
				}
				for i, part := range order {
					ack := parts[part]
					ack.Connection, ack.ID = f.conn, a.ID
					waits, err := f.rdb.ZCard(t.Context(), f.key("outbox")).Result()
					require.NoError(t, err)
					require.EqualValues(t, 1, waits, "before part %d", i)
					require.NoError(t, f.store.Acked(t.Context(), []redisstore.Ack{ack}))
				}
				waits, err := f.rdb.ZCard(t.Context(), f.key("outbox")).Result()
				require.NoError(t, err)
				require.Zero(t, waits)
				require.Equal(t, ended, f.get(a.ID))
				left, err := f.rdb.TTL(t.Context(), f.key("op:"+a.ID.String())).Result()
				require.NoError(t, err)
				if unlisted {
					require.Positive(t, left)
				} else {
					require.EqualValues(t, -2, left, "it is in its page")
				}
			})
		}
	}
}

// What became known of a call when all seemed told goes out, too.
func TestAcked_BeforeALateOutcome(t *testing.T) {
	t.Parallel()
	for _, unlisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("unlisted %t", unlisted), func(t *testing.T) {
			t.Parallel()
			c := newClocked(t, redisstore.Config{Unlisted: unlisted})
			a := c.accepted(uuid.New())
			a.MaxAttempts = 1
			c.accept(a)
			lease := c.try(1, nil)[0]
			c.pass(time.Minute)
			c.try(0, nil)
			claimed := c.claim()
			require.Len(t, claimed, 1)
			require.NoError(t, ackAll(t.Context(), c.store, claimed[0]))
			c.pass(time.Minute)
			require.Empty(t, c.claim())
			require.Equal(t, operation.Failed, c.get(a.ID).Status)
			late := succeed
			late.Block = time.Hour
			c.record(lease, late)
			lane, err := c.store.Lane(t.Context(), c.conn)
			require.NoError(t, err)
			require.Equal(t, lane.Now.Add(time.Hour), lane.Blocked, "the provider asked to wait, late or not")
			require.NoError(t, ackAll(t.Context(), c.store, claimed[0])) // of before
			c.told(2)
		})
	}
}

// A create that was taken for failed or that succeeded with another call: a late success brings the ids of the user
// where there are none, and changes none of an end, whether all of that was told or not.
func TestRecord_LateCreate(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		for _, succeeded := range []bool{false, true} {
			t.Run(fmt.Sprintf("told %t, succeeded %t", told, succeeded), func(t *testing.T) {
				t.Parallel()
				c := newClocked(t, redisstore.Config{})
				a := c.accepted(uuid.Nil)
				a.Type, a.SourceID, a.MaxAttempts = operation.Create, "", 1
				if succeeded {
					a.MaxAttempts = 2
				}
				c.accept(a)
				create := func(l redisstore.Lease, source string) {
					o := c.outcome(l, succeed)
					o.SourceID, o.ResourceID = source, uuid.NewSHA1(c.conn, []byte(source))
					_, err := c.store.Record(t.Context(), o)
					require.NoError(t, err)
				}
				first := c.try(1, nil)[0]
				c.pass(time.Minute)
				want := "of the first"
				if again := c.try(1, nil); succeeded {
					want = "of the second"
					create(again[0], want)
				}
				c.pass(time.Minute)
				if told {
					require.NoError(t, ackAll(t.Context(), c.store, c.claim()[0]))
				}
				ended := c.get(a.ID)
				create(first, "of the first")
				op := c.get(a.ID)
				require.Equal(t, ended.Status, op.Status)
				require.Equal(t, operation.AttemptSucceeded, op.Attempts[0].Status)
				require.Equal(t, want, op.SourceID)
				require.Equal(t, uuid.NewSHA1(c.conn, []byte(want)), op.ResourceID)
			})
		}
	}
}

// What is put back as ended overwrites no record, pending or ended otherwise.
func TestKeep_OverwritesNothing(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		f.accept(a)
		pending := f.get(a.ID)
		other := pending
		other.Status, other.UpdatedAt = operation.Failed, other.UpdatedAt.Add(time.Second)
		require.NoError(t, f.store.Keep(t.Context(), other))
		require.Equal(t, pending, f.get(a.ID))
		rec := f.record(f.next(1).Leases[0], succeed)
		require.NoError(t, ackAll(t.Context(), f.store, rec.Record))
		require.NoError(t, f.store.Keep(t.Context(), other))
		require.Equal(t, rec.Operation, f.get(a.ID))
	})
}

// TestAsked: whatever is told to the streams says when the store was asked for it; else it would
// always be too old.
func TestAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	asked := func(asked time.Time, old bool) {
		t.Helper()
		require.WithinDuration(t, time.Now(), asked, time.Minute)
		require.NotZero(t, asked)
		require.False(t, old && time.Since(asked) <= redisstore.TellWithin)
	}
	a, b := f.accepted(uuid.New()), f.accepted(uuid.New())
	receipt := f.accept(a)
	asked(receipt.Asked, receipt.Old())
	many := f.store.AcceptMany(t.Context(), []operation.Accepted{b}, func(operation.Accepted) redisstore.Limits { return f.limits })
	require.NoError(t, many[0].Err)
	asked(many[0].Receipt.Asked, many[0].Receipt.Old())

	require.NoError(t, f.rdb.ZAdd(t.Context(), f.key("outbox"), redis.Z{Member: a.ID.String()}).Err())
	claimed, err := f.store.Claim(t.Context(), []int{operation.ShardOf(f.conn)}, 1, time.Hour)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	asked(claimed[0].Asked, claimed[0].Old())

	lease := f.next(1).Leases[0]
	rec := f.record(lease, succeed)
	asked(rec.Asked, rec.Old())
	cancelled, err := f.store.Cancel(t.Context(), f.conn, b.ID)
	require.NoError(t, err)
	asked(cancelled.Asked, cancelled.Old())
	require.NoError(t, ackAll(t.Context(), f.store, rec.Record))
	paged, err := f.store.GetRecord(t.Context(), f.conn, a.ID)
	require.NoError(t, err)
	asked(paged.Asked, paged.Old())
	late := redisstore.Outcome{Connection: f.conn, Attempt: operation.Attempt{ID: uuid.New(), OperationID: a.ID}, Decision: succeed}
	amended, err := f.store.Record(t.Context(), late)
	require.NoError(t, err)
	asked(amended.Asked, amended.Old())

	require.True(t, redisstore.Record{Answer: redisstore.Answer{Asked: time.Now().Add(-redisstore.TellWithin)}}.Old())
	require.True(t, redisstore.Receipt{Answer: redisstore.Answer{Asked: time.Now().Add(-redisstore.TellWithin)}}.Old())
}
