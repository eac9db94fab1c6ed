package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Only a shard without a generation is rebuilt: one that another process has just opened
// would be closed again.
func TestRebuild_TakesOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		shard := []int{operation.ShardOf(f.conn)}
		mine := func(b *redisstore.Rebuild, err error) int {
			t.Helper()
			require.NoError(t, err)
			return len(b.Shards)
		}
		require.Zero(t, mine(f.store.TakeRebuild(t.Context(), allShards())), "all have a generation")
		require.Zero(t, mine(f.store.TakeHistory(t.Context(), allShards())), "none lacks its history")

		require.NoError(t, f.store.Withdraw(t.Context(), shard))
		require.Zero(t, mine(f.store.TakeHistory(t.Context(), shard)), "the rest of it comes first")
		b, err := f.store.TakeRebuild(t.Context(), allShards())
		require.NoError(t, err)
		require.Equal(t, shard, b.Shards)
		require.Zero(t, mine(f.store.TakeRebuild(t.Context(), shard)), "another process fills it")
		require.NoError(t, b.Release(t.Context()))
		b, err = f.store.TakeRebuild(t.Context(), shard)
		require.NoError(t, err)
		require.Equal(t, shard, b.Shards)

		require.NoError(t, b.Commit(t.Context(), none, nil, true))
		require.Zero(t, mine(f.store.TakeHistory(t.Context(), shard)), "its rebuilder reads it")
		require.NoError(t, b.Release(t.Context()))
		require.Zero(t, mine(f.store.TakeRebuild(t.Context(), shard)))
		b, err = f.store.TakeHistory(t.Context(), shard)
		require.NoError(t, err)
		require.Equal(t, shard, b.Shards)
		require.NoError(t, b.Done(t.Context()))
		require.Zero(t, mine(f.store.TakeHistory(t.Context(), shard)))
	})
}

// A commit whose reply was lost has opened the shards all the same.
func TestRebuild_CommitTwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.store.Withdraw(t.Context(), allShards()))
		b, err := f.store.TakeRebuild(t.Context(), allShards())
		require.NoError(t, err)
		f.rdb.AddHook(resender{})
		require.NoError(t, b.Commit(t.Context(), none, nil, false))
		missing, err := f.store.Missing(t.Context())
		require.NoError(t, err)
		require.Empty(t, missing)
	})
}

// Whoever looks for what is older than what has gone may look for long.
func TestRebuild_OlderKeepsAllTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	require.NoError(t, f.store.Withdraw(t.Context(), allShards()))
	b, err := f.store.TakeRebuild(t.Context(), allShards())
	require.NoError(t, err)
	for _, shard := range b.Shards {
		require.NoError(t, f.rdb.Expire(t.Context(), "wb:{"+twoDigits(shard)+"}:rebuild", 5*time.Second).Err()) // as after 25 s
	}
	_, err = b.Older(t.Context(), []redisstore.Gone{{Connection: f.conn, User: uuid.NewString(), Seq: 1}})
	require.NoError(t, err)
	for _, shard := range b.Shards {
		left, err := f.rdb.TTL(t.Context(), "wb:{"+twoDigits(shard)+"}:rebuild").Result()
		require.NoError(t, err)
		require.Greater(t, left, 20*time.Second)
	}
}

// A shard that is lost once more while its older history comes back is given up: others
// must be able to fill it.
func TestRebuild_LostAgainDuringHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	shard := []int{operation.ShardOf(f.conn)}
	require.NoError(t, f.store.Withdraw(t.Context(), shard))
	b, err := f.store.TakeRebuild(t.Context(), shard)
	require.NoError(t, err)
	require.NoError(t, b.Commit(t.Context(), none, nil, true))
	require.NoError(t, b.Touch(t.Context()))
	require.NoError(t, f.rdb.Del(t.Context(), f.key("gen")).Err())
	require.ErrorIs(t, b.Touch(t.Context()), redisstore.ErrTokenLost)
	require.NoError(t, b.Release(t.Context()))
	again, err := redisstore.New(f.rdb, redisstore.Config{}).TakeRebuild(t.Context(), shard)
	require.NoError(t, err)
	require.Equal(t, shard, again.Shards)
}

// The generation before was made by a host whose clock is ahead: the next one comes after it
// nevertheless, or those who knew it would withdraw all others.
func TestRebuild_GenerationOfAClockAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	ahead := uuid.Must(uuid.NewV7())
	ms := time.Now().Add(time.Hour).UnixMilli()
	for i := range 6 {
		ahead[i] = byte(ms >> (40 - 8*i))
	}
	shard := operation.ShardOf(f.conn)
	require.NoError(t, f.rdb.Set(t.Context(), f.key("gen"), ahead.String(), 0).Err())
	_, err := f.store.Poll(t.Context(), 1)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, f.rdb.FlushAll(t.Context()).Err())
		b, err := f.store.TakeRebuild(t.Context(), []int{shard})
		require.NoError(t, err)
		require.NoError(t, b.Commit(t.Context(), none, nil, false))
		p, err := f.store.Poll(t.Context(), 1)
		require.NoError(t, err)
		require.NotContains(t, p.Missing, shard)
	}
}

func TestWithdraw_LeavesNoMarks(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.accept(f.accepted(uuid.New()))
		marks := f.rdb.Keys(t.Context(), f.key("mark:*"))
		require.NotEmpty(t, marks.Val())
		require.NoError(t, f.store.Withdraw(t.Context(), allShards()))
		marks = f.rdb.Keys(t.Context(), f.key("mark:*"))
		require.NoError(t, marks.Err())
		require.Empty(t, marks.Val())
	})
}

// A row that Redis has and the stream has not goes out after a rebuild, too.
func TestRestore_RowsThatAreNotInTheStreamGoOut(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	place := c.accept(a).Place
	one := c.record(c.try(1, nil)[0], again(time.Second))
	c.pass(2 * time.Second)
	two := c.record(c.try(1, nil)[0], again(time.Hour)) // NATS is away
	require.Len(t, two.Operation.Attempts, 2)
	require.NoError(t, c.store.Withdraw(t.Context(), []int{operation.ShardOf(c.conn)}))
	c.rebuild(0, said(a, place), redisstore.Fact{Operation: one.Operation, NextAt: one.NextAt, FirstRow: 1})
	c.pass(time.Minute)
	claimed := c.claim()
	require.Len(t, claimed, 1)
	require.Len(t, claimed[0].Operation.Attempts, 2)
	require.Equal(t, 1, claimed[0].Rows)
}

// A rebuild takes nothing back: what has ended, and may lie in its page already, is not pending again because
// a stream says that it was accepted.
func TestRestore_WhatHasEndedStays(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"its end is told": true, "its end is not told": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocked(t, redisstore.Config{})
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			rec := c.record(c.try(1, nil)[0], succeed)
			if told {
				require.NoError(t, ackAll(t.Context(), c.store, rec.Record))
			}
			require.NoError(t, c.store.Withdraw(t.Context(), []int{operation.ShardOf(c.conn)}))
			c.rebuild(0, said(a, place))
			require.Equal(t, rec.Operation, c.get(a.ID))
			require.Empty(t, c.try(1, nil))
		})
	}
}

// A call may have been under way when its operation was lost: what is put back says that it
// is called again.
func TestRestore_SaysThatItMayBeARepetition(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	place := c.accept(a).Place
	require.False(t, c.try(1, nil)[0].Repeat)
	c.wipe()
	c.rebuild(0, said(a, place))
	again := c.try(1, nil)
	require.Len(t, again, 1)
	require.True(t, again[0].Repeat)
	require.Equal(t, 1, again[0].Number)
}

// An outcome that a stream has and Redis forgot ends its lease: the attempt counts once, and nothing waits for the
// lease to run out.
func TestRestore_OutcomeOfACallThatIsLeased(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	place := c.accept(a).Place
	lease := c.try(1, nil)[0]
	before := c.snapshot()
	rec := c.record(lease, again(time.Second))
	c.rollBack(before)
	require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
	c.rebuild(0, said(a, place), redisstore.Fact{Operation: rec.Operation, NextAt: rec.NextAt, FirstRow: 1})
	require.Empty(t, c.try(1, nil), "it waits for its backoff")
	c.pass(time.Second)
	next := c.try(1, nil)
	require.Len(t, next, 1)
	require.Equal(t, 2, next[0].Number)
	require.Len(t, c.get(a.ID).Attempts, 1)
}

// What became known of a call after its final event stays known, and is told.
func TestRestore_CompletedRowStays(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	a.MaxAttempts = 1
	place := c.accept(a).Place
	lease := c.try(1, nil)[0]
	c.pass(time.Minute)
	c.try(0, nil)
	op := c.get(a.ID)
	require.Equal(t, operation.Failed, op.Status)
	require.True(t, op.Attempts[0].Unknown)
	c.record(lease, succeed) // late
	require.NoError(t, c.store.Withdraw(t.Context(), []int{operation.ShardOf(c.conn)}))
	c.rebuild(0, said(a, place), redisstore.Fact{Operation: op, Final: true})
	require.False(t, c.get(a.ID).Attempts[0].Unknown)
	c.told(2)
}

// An end that a stream has and Redis forgot is put back as it was, and not told again.
func TestRestore_EndThatIsForgotten(t *testing.T) {
	t.Parallel()
	for _, unlisted := range []bool{false, true} {
		for _, asked := range []string{"ready", "leased", "marked"} {
			t.Run(fmt.Sprintf("%s, unlisted %t", asked, unlisted), func(t *testing.T) {
				t.Parallel()
				c := newClocked(t, redisstore.Config{Unlisted: unlisted})
				a := c.accepted(uuid.New())
				place := c.accept(a).Place
				before := c.snapshot()
				lease := c.try(1, nil)[0]
				if asked != "ready" {
					before = c.snapshot()
				}
				if asked == "marked" {
					_, err := c.store.Cancel(t.Context(), c.conn, a.ID)
					require.NoError(t, err)
					before = c.snapshot()
				}
				rec := c.record(lease, succeed)
				c.rollBack(before)
				require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
				c.rebuild(0, said(a, place), redisstore.Fact{Operation: rec.Operation, Final: true})
				c.pass(time.Minute)
				require.Empty(t, c.claim())
				require.Empty(t, c.try(1, nil))
				require.Equal(t, rec.Operation, c.get(a.ID))
				_, due := c.due()
				require.False(t, due)
			})
		}
	}
}

// A final event that lacks a row which Redis has goes out again, with all.
func TestRestore_FinalEventWithTooFewRows(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	place := c.accept(a).Place
	before := c.snapshot()
	rec := c.record(c.try(1, nil)[0], succeed)
	c.rollBack(before)
	c.store = redisstore.New(c.rdb, redisstore.Config{}) // a worker that saw none of it
	c.record(c.try(1, nil)[0], again(time.Hour))
	require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err()) // one that did comes
	c.pass(time.Hour)
	c.rebuild(0, said(a, place), redisstore.Fact{Operation: rec.Operation, Final: true})
	require.Equal(t, operation.Succeeded, c.get(a.ID).Status)
	require.Equal(t, rec.Operation.UpdatedAt, c.get(a.ID).UpdatedAt)
	c.told(2)
}

// So does that of a create, with the user that it made.
func TestRestore_UserOfACreateThatGoesOutAgain(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	a.Type = operation.Create
	place := c.accept(a).Place
	c.record(c.try(1, nil)[0], again(time.Hour))
	require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
	ended := operation.Operation{Accepted: a, Place: place, Status: operation.Succeeded, UpdatedAt: time.Now()}
	ended.SourceID, ended.ResourceID = "made", uuid.New()
	c.rebuild(0, said(a, place), redisstore.Fact{Operation: ended, Final: true})
	require.Equal(t, "made", c.get(a.ID).SourceID)
	require.Equal(t, ended.ResourceID, c.get(a.ID).ResourceID)
}

// A confirmation of a final event that does not tell the log as it is now does not count:
// nothing would tell the rest, and the operation would stay in the outbox.
func TestAcked_FinalEventOfAnOlderLog(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	a.MaxAttempts = 1
	c.accept(a)
	lease := c.try(1, nil)[0]
	c.pass(time.Minute)
	c.try(0, nil)
	claimed := c.claim() // and published
	require.Len(t, claimed, 1)
	c.record(lease, succeed)
	require.NoError(t, ackAll(t.Context(), c.store, claimed[0]))
	c.told(2)
}

func (c *clocked) claim() []redisstore.Record {
	c.t.Helper()
	claimed, err := c.store.Claim(c.t.Context(), allShards(), 10, time.Second)
	require.NoError(c.t, err)
	return claimed
}

// told expects one operation in the outbox whose final event is not out, with so many rows;
// once it is, nothing is left there.
func (c *clocked) told(rows int) {
	c.t.Helper()
	c.pass(time.Minute)
	claimed := c.claim()
	require.Len(c.t, claimed, 1)
	require.False(c.t, claimed[0].Final)
	require.Len(c.t, claimed[0].Operation.Attempts, rows)
	require.False(c.t, claimed[0].Operation.Attempts[0].Unknown)
	require.NoError(c.t, ackAll(c.t.Context(), c.store, claimed[0]))
	c.pass(time.Minute)
	require.Empty(c.t, c.claim())
}

// A record that somebody took out keeps its lane neither full nor due for ever, whether it was ready, being
// called or behind another.
func TestNext_OfARecordThatIsGone(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	c.limits.InFlight = 1
	user := uuid.New()
	var keys []string
	for _, u := range []uuid.UUID{user, user, uuid.New(), uuid.New(), uuid.New(), uuid.New()} {
		a := c.accepted(u)
		c.accept(a)
		keys = append(keys, c.key("op:"+a.ID.String()))
	}
	require.Len(t, c.try(1, nil), 1)
	require.NoError(t, c.rdb.Del(t.Context(), keys...).Err())
	c.pass(time.Minute)
	c.accept(c.accepted(uuid.New()))
	var leases []redisstore.Lease
	for range len(keys) + 1 { // as long as it is due
		at, due := c.due()
		require.True(t, due && at.UnixMicro() <= c.now)
		if leases = c.try(1, nil); len(leases) > 0 {
			break
		}
	}
	require.Len(t, leases, 1)
	c.record(leases[0], succeed)
	c.pass(48 * time.Hour)
	require.Empty(t, c.try(3, nil))
	_, due := c.due()
	require.False(t, due)
}
