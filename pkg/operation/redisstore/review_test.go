package redisstore_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// rule is one rule of the flow with a schedule that breaks without it. The
// schedule runs on the scripts as they ship, where it must not break, and on
// scripts without the rule, where it must: else it proves nothing.
type rule struct {
	cfg     redisstore.Config
	without []edit
	// broke plays the schedule, and reports whether the promise was broken.
	broke func(t *testing.T, c *clocked) bool
}

func (r rule) check(t *testing.T) {
	t.Helper()
	t.Parallel()
	t.Run("with the rule", func(t *testing.T) {
		t.Parallel()
		require.False(t, r.broke(t, newClocked(t, r.cfg)))
	})
	t.Run("without it", func(t *testing.T) {
		t.Parallel()
		c := newClocked(t, r.cfg, r.without...)
		require.True(t, r.broke(t, c), "the schedule does not need the rule")
		c.altered.requireFound(t)
	})
}

// try is a next that may be refused as stale.
func (c *clocked) try(n int, msg *operation.Message) []redisstore.Lease {
	c.t.Helper()
	h, err := c.store.Next(c.t.Context(), c.conn, c.limits, ids(n), msg)
	if errors.Is(err, redisstore.ErrStale) {
		return nil
	}
	require.NoError(c.t, err)
	return h.Leases
}

func message(a operation.Accepted, r redisstore.Receipt) *operation.Message {
	return &operation.Message{Accepted: a, Place: r.Place}
}

// expire lets a call's lease run out.
func (c *clocked) expire() { c.pass(c.store.LeaseFor(c.limits) + time.Millisecond) }

func TestReview_F1_GenerationIsCheckedInEveryScript(t *testing.T) {
	rule{
		without: []edit{{"gen ~= '' and gen == seen", "true"}, forgetful},
		broke: func(t *testing.T, c *clocked) bool {
			user := uuid.New()
			older, newer := c.accepted(user), c.accepted(user)
			place := c.accept(older).Place
			c.wipe()
			// Nobody has polled yet: a newer write of the user meets an empty Redis.
			_, err := c.store.Accept(t.Context(), newer, c.limits)
			gone := c.try(1, nil)
			c.rebuild(0, said(older, place))
			if err != nil {
				require.ErrorIs(t, err, redisstore.ErrStale)
			}
			return len(gone) > 0
		},
	}.check(t)
}

// forgetful takes out what a shard is required to remember.
var forgetful = edit{"mark < noted", "false"}

func TestReview_F2_LostTailIsNoticed(t *testing.T) {
	rule{
		without: []edit{forgetful},
		broke: func(t *testing.T, c *clocked) bool {
			_, err := c.store.Poll(t.Context(), 1)
			require.NoError(t, err)
			before := c.snapshot()
			c.pass(20 * time.Millisecond) // what a replica lags; nobody polls meanwhile
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			c.rollBack(before)
			p, err := c.store.Poll(t.Context(), 1)
			require.NoError(t, err)
			if slices.Contains(p.Missing, operation.ShardOf(c.conn)) {
				c.rebuild(0, said(a, place))
			}
			_, err = c.store.Get(t.Context(), c.conn, a.ID)
			return errors.Is(err, redisstore.ErrMissing)
		},
	}.check(t)
}

func TestReview_F2_LostTailIsNoticedByThePolls(t *testing.T) {
	rule{
		without: []edit{forgetful},
		broke: func(t *testing.T, c *clocked) bool {
			c.pass(-time.Hour) // so that every poll writes its beat
			poll := func() redisstore.Polled {
				p, err := c.store.Poll(t.Context(), 1)
				require.NoError(t, err)
				return p
			}
			poll()
			before := c.snapshot()
			c.pass(time.Second)
			require.NotContains(t, poll().Missing, operation.ShardOf(c.conn))
			c.rollBack(before)
			return !slices.Contains(poll().Missing, operation.ShardOf(c.conn))
		},
	}.check(t)
}

// Between a failover and the next poll nothing is handed out of what went back.
func TestReview_F2_LostTailIsNoticedByAnyScript(t *testing.T) {
	rule{
		without: []edit{forgetful},
		broke: func(_ *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			before := c.snapshot()
			c.record(c.try(1, nil)[0], succeed)
			c.rollBack(before)
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F2_OlderGenerationIsNoticed(t *testing.T) {
	rule{
		without: []edit{{"gen ~= '' and gen < seen", "false"}},
		broke: func(t *testing.T, c *clocked) bool {
			before := c.snapshot()
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
			c.rebuild(0, said(a, place))
			_, err := c.store.Poll(t.Context(), 1)
			require.NoError(t, err)
			c.rollBack(before)
			p, err := c.store.Poll(t.Context(), 1)
			require.NoError(t, err)
			return len(p.Missing) < operation.Shards
		},
	}.check(t)
}

// A process that slept through a rebuild takes what went back to before it for whole: the others
// must not wait for their polls to tell it.
func TestReview_F2_OlderGenerationIsNoticedByAnyScript(t *testing.T) {
	rule{
		without: []edit{{"gen ~= '' and gen < seen", "false"}},
		broke: func(t *testing.T, c *clocked) bool {
			before := c.snapshot()
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
			c.rebuild(0, said(a, place))
			c.rollBack(before)
			_, err := c.store.AcceptNew(t.Context(), c.accepted(uuid.New()), c.limits)
			require.ErrorIs(t, err, redisstore.ErrStale)
			left, err := c.rdb.Exists(t.Context(), c.key("gen")).Result()
			require.NoError(t, err)
			return left > 0
		},
	}.check(t)
}

func TestReview_F4_FenceIsTheAttemptID(t *testing.T) {
	rule{
		without: []edit{{"local held = o.lease == attempt", "local held = o.lease and true or false"}},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			old := c.try(1, nil)
			c.wipe()
			c.rebuild(0, said(a, place))
			require.Len(t, c.try(1, nil), 1)
			c.record(old[0], again(0)) // of before the wipe
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F4_LeaseOutlivesItsCall(t *testing.T) {
	rule{
		without: []edit{{"int(now + lease_ms), o.id", "int(now + lease_ms / 2), o.id"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			require.Len(t, c.try(1, nil), 1)
			// The call started at the end of its window and takes all its time.
			c.pass(c.store.Config().StartWindow + c.limits.Call)
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

// quarantine is what the restorer sets: start window and call deadline.
func (c *clocked) quarantine() time.Duration { return c.store.Config().StartWindow + c.limits.Call }

func TestReview_F5_QuarantineIsOfTheShard(t *testing.T) {
	rule{
		without: []edit{{"call('SET', N.not_before, int(shard.closed))", ""}},
		broke: func(t *testing.T, c *clocked) bool {
			user := uuid.New()
			c.accept(c.accepted(user))
			require.Len(t, c.try(1, nil), 1)
			// The message of what is being called has not reached the stream.
			c.wipe()
			c.rebuild(c.quarantine())
			c.accept(c.accepted(user))
			_, err := c.store.AcceptSync(t.Context(), c.accepted(uuid.New()), c.limits, uuid.New())
			var later *redisstore.LaterError
			early := len(c.try(1, nil)) > 0 || !errors.As(err, &later)
			c.pass(c.quarantine())
			if !early {
				require.Len(t, c.try(1, nil), 1, "and then it goes on")
			}
			return early
		},
	}.check(t)
}

func TestReview_F6_AcceptSeqHasTheClockAsItsFloor(t *testing.T) {
	rule{
		without: []edit{{
			"max(shard.seq + 1, us)", "shard.seq + 1",
		}},
		broke: func(t *testing.T, c *clocked) bool {
			user := uuid.New()
			c.accept(c.accepted(user))
			first, second := c.accepted(user), c.accepted(user)
			receipt := c.accept(first)
			c.pass(time.Second)
			c.wipe()
			c.rebuild(0)
			c.accept(second)
			leases := c.try(1, message(first, receipt)) // late
			require.Len(t, leases, 1)
			return leases[0].ID == second.ID
		},
	}.check(t)
}

func TestReview_F6_PlacesOfTheRebuildRaiseTheNext(t *testing.T) {
	rule{
		without: []edit{{"if newest then shard.seq", "if false then shard.seq"}},
		broke: func(t *testing.T, c *clocked) bool {
			user := uuid.New()
			first, second := c.accepted(user), c.accepted(user)
			c.pass(time.Minute)
			place := c.accept(first).Place
			c.wipe()
			c.pass(-time.Minute) // the new host's clock is behind
			c.rebuild(0, said(first, place))
			return c.accept(second).Seq <= place.Seq
		},
	}.check(t)
}

func TestReview_F9_LateSuccessCounts(t *testing.T) {
	rule{
		without: []edit{{"elseif verdict == 'success' and was_pending then", "elseif false then"}},
		broke: func(_ *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			lost := c.try(1, nil)[0]
			c.expire()
			c.next(0)
			c.record(lost, succeed)
			return len(c.try(1, nil)) > 0 // the provider has it already, and we know
		},
	}.check(t)
}

func TestReview_F9_LateSuccessWaitsForTheCallUnderWay(t *testing.T) {
	rule{
		without: []edit{{"if o.lease then set(o, 'mark', 'success') else ", "if false then else "}},
		broke: func(t *testing.T, c *clocked) bool {
			user := uuid.New()
			c.accept(c.accepted(user))
			behind := c.accepted(user)
			c.accept(behind)
			lost := c.try(1, nil)[0]
			c.expire()
			under := c.try(1, nil)
			require.Len(t, under, 1)
			c.record(lost, succeed)
			overlap := len(c.try(1, nil)) > 0
			// That call's end ends it as success, whatever the call gave.
			ended := c.record(under[0], failNow).Operation.Status
			require.Equal(t, behind.ID, c.try(1, nil)[0].ID)
			return overlap || ended != operation.Succeeded
		},
	}.check(t)
}

func TestReview_F9_LateOutcomeCompletesItsRow(t *testing.T) {
	rule{
		without: []edit{{"set(o, field, 'k' .. attempt .. row)\n  -- The completed", "-- The completed"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			lost := c.try(1, nil)[0]
			c.expire()
			c.next(0)
			require.NoError(t, c.store.Acked(t.Context(), []redisstore.Ack{{Connection: c.conn, ID: lost.ID, Accepted: true, Rows: 1}}))
			rec := c.record(lost, again(0))
			require.Len(t, rec.Operation.Attempts, 1)
			require.Zero(t, rec.Rows, "it has to go out again")
			require.True(t, rec.Late)
			kept, err := c.store.Get(t.Context(), c.conn, lost.ID)
			require.NoError(t, err)
			return kept.Attempts[0].Unknown
		},
	}.check(t)
}

func TestReview_F9_UnknownRowStaysOpenWhenItIsReadTwice(t *testing.T) {
	rule{
		without: []edit{{"if unknown or sub(o.f[field]", "if sub(o.f[field]"}},
		broke: func(_ *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			place := c.accept(a).Place
			lost := c.try(1, nil)[0]
			c.expire()
			c.next(0)
			fact := said(a, place)
			fact.Operation.Attempts, fact.Operation.Attempted = c.get(a.ID).Attempts, 1
			c.wipe()
			c.rebuild(0, said(a, place), fact, fact) // events come at least once
			return c.record(lost, again(0)).Operation.Attempts[0].StatusCode != 500
		},
	}.check(t)
}

func TestReview_F9_TerminalNeverChanges(t *testing.T) {
	rule{
		without: []edit{{"elseif verdict == 'success' and was_pending then", "elseif verdict == 'success' then"}},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			c.accept(a)
			lost := c.try(1, nil)[0]
			c.expire()
			c.next(0)
			_, err := c.store.Cancel(t.Context(), c.conn, a.ID)
			require.NoError(t, err)
			return c.record(lost, succeed).Operation.Status != operation.Failed
		},
	}.check(t)
}

func TestReview_F9_LostCallCountsAsAnAttempt(t *testing.T) {
	rule{
		without: []edit{{"local made = tonumber(o.f.attempted or 0) + 1", "local made = 0"}},
		broke: func(t *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			a.MaxAttempts = 2
			c.accept(a)
			for range 2 {
				require.Len(t, c.try(1, nil), 1)
				c.expire()
			}
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F11_LostReplyOfNextIsGivenAgain(t *testing.T) {
	rule{
		without: []edit{{"local o = out[attempt] and open(out[attempt])", "local o = nil"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.fill(2)
			attempts := ids(1)
			for range 2 {
				c.store.LoseAnswers()
				_, err := c.store.Next(t.Context(), c.conn, c.limits, attempts, nil)
				require.NoError(t, err)
			}
			n, err := c.rdb.ZCard(t.Context(), c.key("flight:"+c.conn.String())).Result()
			require.NoError(t, err)
			return n > 1
		},
	}.check(t)
}

func TestReview_F11_WhatComesAgainIsKnownByTheMark(t *testing.T) {
	rule{
		without: []edit{{"again = mark ~= noted", "again = false"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			c.rdb.AddHook(resender{})
			_, err := c.store.AcceptNew(t.Context(), c.accepted(uuid.New()), c.limits)
			require.NoError(t, err)
			index, err := c.rdb.Keys(t.Context(), c.key("day:*")).Result()
			require.NoError(t, err)
			require.Len(t, index, 1)
			entries, err := c.rdb.LLen(t.Context(), index[0]).Result()
			require.NoError(t, err)
			return entries > 2
		},
	}.check(t)
}

func TestReview_F11_AcceptTwiceIsOnce(t *testing.T) {
	rule{
		without: []edit{{"if known then", "if false then"}},
		broke: func(_ *testing.T, c *clocked) bool {
			a := c.accepted(uuid.New())
			c.accept(a)
			c.record(c.try(1, nil)[0], succeed)
			c.accept(a) // the client library sends a command again whose reply it lost
			return len(c.try(1, nil)) > 0
		},
	}.check(t)
}

func TestReview_F11_RecordTwiceIsOnce(t *testing.T) {
	rule{
		without: []edit{{"if not at then\n    untold(o)\n", "if true then\n    untold(o)\n"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.accept(c.accepted(uuid.New()))
			o := c.outcome(c.try(1, nil)[0], again(0))
			for range 2 {
				_, err := c.store.Record(t.Context(), o)
				require.NoError(t, err)
			}
			op := c.get(o.Attempt.OperationID)
			require.Equal(t, 1, op.Attempted)
			return len(op.Attempts) > 1
		},
	}.check(t)
}

func TestReview_F15_ReadyWorkIsDueWhileACallIsUnderWay(t *testing.T) {
	rule{
		// The tempting rule: after a hand-out, due when the lease ends.
		without: []edit{{"if best and turn > turns_by() then best = max(best, turn) end", "best = l.inflight == 0 and best and max(best, turn)"}},
		broke: func(_ *testing.T, c *clocked) bool {
			c.fill(2)
			c.try(1, nil)
			at, ok := c.due()
			return !ok || at.UnixMicro() > c.now
		},
	}.check(t)
}

func TestReview_F21_ReleaseGivesBackWhatTimeHasNot(t *testing.T) {
	rule{
		without: []edit{{"local back = l.interval - (us - leased_us(o))", "local back = l.interval"}},
		broke: func(t *testing.T, c *clocked) bool {
			c.limits.PerSecond, c.limits.Burst = 1, 1
			c.fill(3)
			late := c.try(1, nil)
			c.pass(time.Second)
			require.Len(t, c.try(1, nil), 1)
			c.pass(100 * time.Millisecond)
			require.NoError(t, c.store.Release(t.Context(), late[0], 0))
			return len(c.try(1, nil)) > 0 // the second call in a tenth of a second, at one a second
		},
	}.check(t)
}
