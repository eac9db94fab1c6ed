package work_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// remembered is a history that says of old events only who asks for all, and notes what it is asked.
type remembered struct {
	accepted    []operation.Message
	recent      []operation.Event
	old         func(since time.Time) operation.Event
	ends, since []time.Time
}

func (h *remembered) Ends(context.Context) (operations, events uint64, err error) {
	h.ends = append(h.ends, time.Now())
	return 1, 1, nil
}

func (h *remembered) Operations(_ context.Context, since time.Time, _ uint64, pass func([]operation.Message) error) error {
	h.since = append(h.since, since)
	return pass(h.accepted)
}

func (h *remembered) Events(_ context.Context, since time.Time, _ uint64, pass func([]operation.Event) error) error {
	if since.IsZero() {
		return pass([]operation.Event{h.old(h.since[0])})
	}
	return pass(h.recent)
}

// writes makes messages of so many operations of a user, in their order.
func (r *rig) writes(user uuid.UUID, n int) (all []operation.Message) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range n {
		all = append(all, operation.Message{
			Accepted: r.change(user, "x"), Place: operation.Place{Seq: now.UnixMicro() + int64(i), Deadline: now.Add(time.Hour)},
		})
	}
	return all
}

// happened makes the event of an attempt that has the given row, from 1.
func happened(m operation.Message, kind operation.EventKind, status operation.Status, row int) operation.Event {
	at := time.Now().UTC().Truncate(time.Microsecond)
	return operation.Event{Version: operation.Version, ID: uuid.New(), Kind: kind, FirstRow: row, Operation: operation.Operation{
		Accepted: m.Accepted, Place: m.Place, Status: status, UpdatedAt: at, Attempted: row, Attempts: []operation.Attempt{{
			ID: uuid.Must(uuid.NewV7()), OperationID: m.ID, StartedAt: at, EndedAt: at, Status: operation.AttemptFailed, StatusCode: 500, ErrorType: operation.ErrorTSP,
		}},
	}}
}

// TestRestore_ReadsWhatTheStreamsSay of one shard after a wipe. What they say of others is not
// for this process.
func TestRestore_ReadsWhatTheStreamsSay(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	one, two := r.writes(uuid.New(), 3), r.writes(uuid.New(), 1)
	retried := []operation.Event{
		happened(two[0], operation.EventAttempted, operation.Pending, 1), happened(two[0], operation.EventAttempted, operation.Pending, 2),
	}
	retried[1].NextAt = time.Now().UTC().Truncate(time.Millisecond).Add(time.Hour)
	own, gap := r.conn, r.writes(uuid.New(), 1)[0]
	for operation.ShardOf(r.conn) == operation.ShardOf(own) {
		r.conn = uuid.Must(uuid.NewV7())
	}
	h := &remembered{
		accepted: append(one, two...),
		recent: append(retried, happened(r.writes(uuid.New(), 1)[0], operation.EventFailed, operation.Failed, 1),
			happened(one[2], operation.EventFailed, operation.Failed, 1), happened(one[0], operation.EventFailed, operation.Failed, 1)), // told late
		old: func(since time.Time) operation.Event {
			e := happened(gap, operation.EventFailed, operation.Failed, 1)
			e.Operation.UpdatedAt = since.Add(30 * time.Second).UTC().Truncate(time.Microsecond) // the clocks of who wrote it differ
			return e
		},
	}
	r.conn = own
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	const settle = 50 * time.Millisecond
	before := time.Now()
	require.NoError(t, work.NewRestorer(r.store, h, work.RestoreConfig{Settle: settle}, r.parts.Log).Restore(t.Context(), []int{operation.ShardOf(own)}))

	const recent = 48*time.Hour + 30*time.Second
	require.WithinRange(t, h.since[0], before.Add(-recent), time.Now().Add(-recent))
	require.GreaterOrEqual(t, h.ends[1].Sub(h.ends[0]), settle, "what was under way is in the streams")
	handed, err := r.store.Next(t.Context(), own, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}, []uuid.UUID{uuid.New()}, nil)
	require.NoError(t, err)
	require.Empty(t, handed.Leases)
	lane, err := r.store.Lane(t.Context(), own)
	require.NoError(t, err)
	require.WithinRange(t, lane.Opens, before.Add(time.Minute+r.store.Config().StartWindow), time.Now().Add(time.Hour))

	overtaken := r.ended(one[1].ID)
	require.Contains(t, overtaken.Attempts[0].Detail, "newer update")
	rec, err := r.store.GetRecord(t.Context(), own, two[0].ID)
	require.NoError(t, err)
	require.Equal(t, retried[1].NextAt, rec.NextAt)
	var rows []uuid.UUID
	for _, a := range rec.Operation.Attempts {
		rows = append(rows, a.ID)
	}
	require.Equal(t, []uuid.UUID{retried[0].Operation.Attempts[0].ID, retried[1].Operation.Attempts[0].ID}, rows)
	require.Equal(t, operation.Failed, r.ended(gap.ID).Status, "neither reading leaves it out")
}

// TestRestore_NewShardsAreOpenAtOnce: nothing was called before. Another process may begin some of them.
func TestRestore_NewShardsAreOpenAtOnce(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	missing := r.missing()
	other := (operation.ShardOf(r.conn) + 1) % operation.Shards
	require.NoError(t, redisstore.New(r.rdb, redisstore.Config{}).Begin(t.Context(), []int{other}))
	require.NoError(t, work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log).Restore(t.Context(), missing))
	op := r.accept(r.change(uuid.New(), "x"))
	h, err := r.store.Next(t.Context(), r.conn, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}, []uuid.UUID{uuid.New()}, nil)
	require.NoError(t, err)
	require.Len(t, h.Leases, 1)
	require.Equal(t, op.ID, h.Leases[0].ID)
}

// breaking is a history that cannot be read, and whose reader is told to stop.
type breaking struct {
	told
	stop func()
}

var errBroken = errors.New("a stream has no leader")

func (h *breaking) Operations(context.Context, time.Time, uint64, func([]operation.Message) error) error {
	h.stop()
	return errBroken
}

func (h *breaking) Events(context.Context, time.Time, uint64, func([]operation.Event) error) error {
	h.stop()
	return errBroken
}

// TestRestore_WhatFailsIsGivenUp: the next process begins at once. Until then it is left to who has begun.
func TestRestore_WhatFailsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		restore func(*work.Restorer, context.Context, []int) error
		take    func(*redisstore.Store, context.Context, []int) (*redisstore.Rebuild, error)
		opened  bool
	}{
		"pending":       {(*work.Restorer).Restore, (*redisstore.Store).TakeRebuild, false},
		"older history": {(*work.Restorer).Finish, (*redisstore.Store).TakeHistory, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			shards := []int{operation.ShardOf(r.conn)}
			require.NoError(t, r.store.Withdraw(t.Context(), shards))
			if row.opened {
				b, err := r.store.TakeRebuild(t.Context(), shards)
				require.NoError(t, err)
				require.NoError(t, b.Commit(t.Context(), func(int) time.Duration { return 0 }, nil, true))
				require.NoError(t, b.Release(t.Context()))
			}
			h := &breaking{}
			restorer := work.NewRestorer(r.store, h, work.RestoreConfig{Settle: time.Millisecond}, r.parts.Log)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			h.stop = stop
			require.ErrorIs(t, row.restore(restorer, ctx, shards), errBroken)
			b, err := row.take(redisstore.New(r.rdb, redisstore.Config{}), t.Context(), shards)
			require.NoError(t, err)
			require.Equal(t, shards, b.Shards)
			require.NoError(t, row.restore(restorer, t.Context(), shards), "the other one does it")
		})
	}
}
