package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// tokenChecks takes the token's check out of every script of the rebuild.
var tokenChecks = edit{"if call('GET', N.rebuild) ~= args[2] then return {'lost'} end", ""}

func (c *clocked) take() *redisstore.Rebuild {
	c.t.Helper()
	b, err := c.store.TakeRebuild(c.t.Context(), []int{operation.ShardOf(c.conn)})
	require.NoError(c.t, err)
	require.Len(c.t, b.Shards, 1)
	return b
}

func none(int) time.Duration { return 0 }

func TestReview_F12_CommitChecksItsToken(t *testing.T) {
	rule{
		without: []edit{tokenChecks},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			c.wipe()
			b := c.take()
			_, err := b.Put(t.Context(), []redisstore.Fact{said(a, place)})
			require.NoError(t, err)
			c.wipe() // once more, in the middle
			if err := b.Commit(t.Context(), none, nil, false); err != nil {
				require.ErrorIs(t, err, redisstore.ErrTokenLost)
				return false
			}
			_, err = c.store.Get(t.Context(), c.conn, a.ID)
			return errors.Is(err, redisstore.ErrMissing) // the 202 is gone for ever
		},
	}.check(t)
}

func TestReview_F12_InsertsCheckTheirToken(t *testing.T) {
	rule{
		without: []edit{tokenChecks},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			c.wipe()
			slow := c.take()
			require.NoError(t, slow.Touch(t.Context()))
			require.NoError(t, c.rdb.Del(t.Context(), c.key("rebuild")).Err()) // it was silent for too long
			c.rebuild(0, said(a, place))
			c.record(c.try(1, nil)[0], again(time.Hour))
			fact := said(a, place)
			fact.NextAt = time.UnixMicro(c.now).Add(-time.Second)
			_, put := slow.Put(t.Context(), []redisstore.Fact{fact})
			_, older := slow.Older(t.Context(), []redisstore.Gone{{Connection: c.conn, User: a.ResourceID.String(), Seq: place.Seq + 1}})
			return !errors.Is(put, redisstore.ErrTokenLost) || !errors.Is(older, redisstore.ErrTokenLost) || c.get(a.ID).Status != operation.Pending
		},
	}.check(t)
}

func TestReview_F12_InsertsOnlyWhatIsMissing(t *testing.T) {
	rule{
		without: []edit{{"if not o then\n  o = put(", "if true then\n  o = put("}},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			c.record(c.try(1, nil)[0], succeed)
			require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
			c.rebuild(0, said(a, place), said(a, place))
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F12_UnknownIsNotMissingWhileHistoryIsOnItsWay(t *testing.T) {
	rule{
		without: []edit{{"if call('EXISTS', N.history) == 1 then return {'stale'} end", ""}},
		broke: func(t *testing.T, c *clocked) bool {
			c.wipe()
			b := c.take()
			require.NoError(t, b.Commit(t.Context(), none, nil, true))
			_, err := c.store.Get(t.Context(), c.conn, uuid.New())
			require.Error(t, err)
			require.NoError(t, b.Done(t.Context()))
			_, after := c.store.Get(t.Context(), c.conn, uuid.New())
			require.ErrorIs(t, after, redisstore.ErrMissing)
			return errors.Is(err, redisstore.ErrMissing)
		},
	}.check(t)
}

// A shard without facts must keep its token while those of others are read.
func TestReview_F12_TokenOfAQuietShardIsKept(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	a := c.accepted(uuid.New())
	place := c.accept(a).Place
	c.wipe()
	quiet := (operation.ShardOf(c.conn) + 1) % operation.Shards
	b, err := c.store.TakeRebuild(t.Context(), []int{operation.ShardOf(c.conn), quiet})
	require.NoError(t, err)
	token := "wb:{" + twoDigits(quiet) + "}:rebuild"
	require.NoError(t, c.rdb.Expire(t.Context(), token, 5*time.Second).Err()) // as it is after 25 s
	_, err = b.Put(t.Context(), []redisstore.Fact{said(a, place)})
	require.NoError(t, err)
	left, err := c.rdb.TTL(t.Context(), token).Result()
	require.NoError(t, err)
	require.Greater(t, left, 20*time.Second)
}

func TestReview_F12_RowsOfManyOvertakenDiffer(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	user := uuid.New()
	var facts []redisstore.Fact
	for range 40 {
		a := c.accepted(user)
		facts = append(facts, said(a, c.accept(a).Place))
	}
	c.wipe()
	b := c.take()
	_, err := b.Put(t.Context(), facts)
	require.NoError(t, err)
	n, err := b.Older(t.Context(), []redisstore.Gone{{Connection: c.conn, User: user.String(), Seq: facts[39].Operation.Seq}})
	require.NoError(t, err)
	require.Equal(t, 39, n)
	require.NoError(t, b.Commit(t.Context(), none, nil, false))
	rows := map[uuid.UUID]bool{}
	for _, f := range facts[:39] {
		op := c.get(f.Operation.ID)
		require.Equal(t, operation.Failed, op.Status)
		rows[op.Attempts[0].ID] = true
	}
	require.Len(t, rows, 39)
	require.Equal(t, facts[39].Operation.ID, c.try(1, nil)[0].ID)
}

func TestReview_F13_KeyComesBackWithTheMessage(t *testing.T) {
	keyed := func(t *testing.T, c *clocked, back func(m *operation.Message)) bool {
		a := c.accepted(uuid.New())
		a.Key = &operation.Key{Scope: "s", Fingerprint: "f"}
		receipt := c.accept(a)
		c.wipe()
		back(message(a, receipt))
		repeated := a
		repeated.ID = uuid.Must(uuid.NewV7())
		return c.accept(repeated).Replay != a.ID
	}
	without := []edit{{"if scope == '' or now - seq", "if true or now - seq"}}
	t.Run("rebuild", func(t *testing.T) {
		rule{without: without, broke: func(t *testing.T, c *clocked) bool {
			return keyed(t, c, func(m *operation.Message) { c.rebuild(0, said(m.Accepted, m.Place)) })
		}}.check(t)
	})
	t.Run("message", func(t *testing.T) {
		rule{without: without, broke: func(t *testing.T, c *clocked) bool {
			return keyed(t, c, func(m *operation.Message) { c.rebuild(0); c.try(1, m) })
		}}.check(t)
	})
}

func TestReview_F13_RetryAfterComesBackWithTheEvent(t *testing.T) {
	rule{
		without: []edit{{"if tonumber(args[17]) > l.blocked then", "if false then"}},
		broke: func(t *testing.T, c *clocked) bool {
			a, other := c.accepted(uuid.New()), c.accepted(uuid.New())
			fact, waiting := said(a, c.accept(a).Place), said(other, c.accept(other).Place)
			d := again(time.Minute)
			d.Block = time.Minute
			rec := c.record(c.try(1, nil)[0], d)
			require.False(t, rec.Blocked.IsZero())
			fact.Operation, fact.Blocked = rec.Operation, rec.Blocked
			c.wipe()
			c.rebuild(0, fact, waiting)
			return len(c.try(2, nil)) > 0
		},
	}.check(t)
}

func TestReview_F13_BackoffComesBackWithTheEvent(t *testing.T) {
	rule{
		without: []edit{{"if call('ZREM', l.ready, id) == 1 then o.turn = true end -- its score is its turn", ""}},
		broke: func(_ *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			fact := said(a, c.accept(a).Place)
			rec := c.record(c.try(1, nil)[0], again(time.Minute))
			event := redisstore.Fact{Operation: rec.Operation, NextAt: rec.NextAt}
			c.wipe()
			c.rebuild(0, fact, event)
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F13_SuccessOfAnEventEndsThePending(t *testing.T) {
	rule{
		without: []edit{{"if args[at + 4] == '1' then success = true end", ""}},
		broke: func(_ *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			rec := c.record(c.try(1, nil)[0], succeed)
			fact := said(a, place)
			fact.Operation.Attempts, fact.Operation.Attempted = rec.Operation.Attempts, 1
			c.wipe()
			c.rebuild(0, said(a, place), fact)
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F14_RecordOutlivesItsMessage(t *testing.T) {
	rule{
		without: []edit{{"  call('HSET', key, ...)", ""}},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			receipt := c.accept(a)
			rec := c.record(c.try(1, nil)[0], succeed)
			require.NoError(t, ackAll(t.Context(), c.store, rec.Record))
			// A consumer that is made anew replays two days of messages.
			return len(c.try(1, message(a, receipt))) > 0
		},
	}.check(t)
}

func TestReview_F14_NoEndOfLifeBeforeTheFinalEvent(t *testing.T) {
	rule{
		without: []edit{
			{"and (final or not v[1])", ""},
		},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			c.accept(a)
			rec := c.record(c.try(1, nil)[0], succeed)
			ack := redisstore.Ack{Connection: c.conn, ID: a.ID, Accepted: true, Rows: len(rec.Operation.Attempts), Ended: &rec.Operation}
			require.NoError(t, c.store.Acked(t.Context(), []redisstore.Ack{ack}))
			c.pass(time.Hour)
			due, err := c.store.Claim(t.Context(), allShards(), 10, time.Second)
			require.NoError(t, err)
			return len(due) == 0 // its end is never told
		},
	}.check(t)
}

func TestReview_F14_HealNeverOverwrites(t *testing.T) {
	rule{
		without: []edit{{"call('EXISTS', op_key(args[m + 1])) == 0 and not paged(args[m + 1], args[m + 2])", "true"}},
		broke: func(_ *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			receipt := c.accept(a)
			c.record(c.try(1, message(a, receipt))[0], succeed)
			return len(c.try(1, message(a, receipt))) > 0
		},
	}.check(t)
}
